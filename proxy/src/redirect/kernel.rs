//! Weir's table in the kernel: made, removed and read.

use super::Error;
use super::attributes::{Attributes, Writer};
use super::encode;
use super::expr::{self, Expr};
use super::netlink::{Batch, Kernel, Kind, Listed};
use super::table::{Base, Chain, Family, Hook, NAME, Rule, Table};
use super::text::COMMENT;

const NFTA_TABLE_NAME: u16 = 1;
const NFTA_TABLE_FLAGS: u16 = 2;
const NFTA_TABLE_USERDATA: u16 = 6;
const NFTA_CHAIN_TABLE: u16 = 1;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_CHAIN_POLICY: u16 = 5;
const NFTA_CHAIN_TYPE: u16 = 7;
const NFTA_HOOK_HOOKNUM: u16 = 1;
const NFTA_HOOK_PRIORITY: u16 = 2;
const NFTA_RULE_TABLE: u16 = 1;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_HANDLE: u16 = 3;
const NFTA_RULE_EXPRESSIONS: u16 = 4;
const NFTA_RULE_USERDATA: u16 = 7;

/// The table's rules are not run (`NFT_TABLE_F_DORMANT`).
const NFT_TABLE_F_DORMANT: u32 = 1;
/// What passes every rule passes.
const NF_ACCEPT: u32 = 1;

impl Hook {
    /// The kernel's number of it (`enum nf_inet_hooks`).
    pub(super) const fn number(self) -> u32 {
        match self {
            Self::Prerouting => 0,
            Self::Input => 1,
            Self::Output => 3,
        }
    }
}

/// Puts the table in the place of every table of that name, in one step.
pub(super) fn replace(kernel: &Kernel, table: &Table) -> Result<(), Error> {
    let mut batch = Batch::new();
    for family in found(kernel)? {
        if family != table.family {
            clear_away(&mut batch, family);
        }
    }
    clear_away(&mut batch, table.family);
    add_table(&mut batch, table.family);
    for chain in &table.chains {
        add_chain(&mut batch, table.family, chain);
    }
    for chain in &table.chains {
        for (index, rule) in chain.rules.iter().enumerate() {
            add_rule(&mut batch, table.family, chain, index, rule);
        }
    }
    kernel.commit(batch)
}

/// Removes the table, in every family; answers in which it was.
pub(super) fn remove(kernel: &Kernel) -> Result<Vec<Family>, Error> {
    let families = found(kernel)?;
    if !families.is_empty() {
        let mut batch = Batch::new();
        for family in &families {
            clear_away(&mut batch, *family);
        }
        kernel.commit(batch)?;
    }
    Ok(families)
}

fn add_table(batch: &mut Batch, family: Family) {
    let what = format!("the table `{} {NAME}`", family.name());
    batch.add(Kind::NewTable, family, what, |table| {
        table.text(NFTA_TABLE_NAME, NAME);
        table.bytes(NFTA_TABLE_USERDATA, &comment(COMMENT));
    });
}

/// Deletes the table with all that it holds. It is added first, so that deleting it cannot fail;
/// without flags, so that one that is there is not changed.
fn clear_away(batch: &mut Batch, family: Family) {
    add_table(batch, family);
    let what = format!("removing the table `{} {NAME}`", family.name());
    batch.add(Kind::DelTable, family, what, |table| table.text(NFTA_TABLE_NAME, NAME));
}

fn add_chain(batch: &mut Batch, family: Family, chain: &Chain) {
    let kind = chain.base.map_or("", |base| base.kind.name());
    let what = format!("the {kind} chain `{}`", chain.name).replace("  ", " ");
    batch.add(Kind::NewChain, family, what, |message| {
        message.text(NFTA_CHAIN_TABLE, NAME);
        message.text(NFTA_CHAIN_NAME, chain.name);
        if let Some(base) = chain.base {
            message.nested(NFTA_CHAIN_HOOK, |hook| {
                hook.number(NFTA_HOOK_HOOKNUM, base.hook.number());
                hook.signed(NFTA_HOOK_PRIORITY, base.priority());
            });
            message.text(NFTA_CHAIN_TYPE, base.kind.name());
            message.number(NFTA_CHAIN_POLICY, NF_ACCEPT);
        }
    });
}

fn add_rule(batch: &mut Batch, family: Family, chain: &Chain, index: usize, rule: &Rule) {
    let text = rule.text(family);
    let what = format!("rule {} of the chain `{}`: `{text}`", index + 1, chain.name);
    batch.add(Kind::NewRule, family, what, |message: &mut Writer<'_>| {
        message.text(NFTA_RULE_TABLE, NAME);
        message.text(NFTA_RULE_CHAIN, chain.name);
        message.nested(NFTA_RULE_EXPRESSIONS, |list| {
            encode::write(list, &expr::steps(rule, family));
        });
        message.bytes(NFTA_RULE_USERDATA, &comment(rule.comment));
    });
}

/// A comment as nft keeps it beside tables and rules: type 0, length, text, NUL (libnftnl,
/// `NFTNL_UDATA_RULE_COMMENT` and `NFTNL_UDATA_TABLE_COMMENT`).
fn comment(text: &str) -> Vec<u8> {
    let len = u8::try_from(text.len() + 1).unwrap_or(u8::MAX);
    [&[0, len], text.as_bytes(), &[0]].concat()
}

/// The families that have a table of that name.
fn found(kernel: &Kernel) -> Result<Vec<Family>, Error> {
    Ok(tables(kernel)?.into_iter().map(|(family, _)| family).collect())
}

/// The families that have a table of that name, and its flags.
fn tables(kernel: &Kernel) -> Result<Vec<(Family, u32)>, Error> {
    let list = kernel.list(Kind::GetTable)?;
    let ours = list.iter().filter_map(|one| {
        let attributes = Attributes(&one.attributes);
        let family = Family::ALL.into_iter().find(|family| family.number() == one.family)?;
        let flags = attributes.number(NFTA_TABLE_FLAGS).unwrap_or(0);
        (attributes.text(NFTA_TABLE_NAME)? == NAME).then_some((family, flags))
    });
    Ok(ours.collect())
}

/// A table as the kernel has it.
#[derive(Debug)]
pub(super) struct FoundTable {
    pub(super) family: Family,
    /// Its rules are not run.
    pub(super) dormant: bool,
    pub(super) chains: Vec<FoundChain>,
}

/// A chain as the kernel has it.
#[derive(Debug)]
pub(super) struct FoundChain {
    pub(super) name: String,
    pub(super) base: Option<FoundBase>,
    pub(super) rules: Vec<FoundRule>,
}

/// Where the kernel enters a chain.
#[derive(Debug)]
pub(super) struct FoundBase {
    kind: String,
    hook: u32,
    priority: i32,
    policy: u32,
}

impl FoundBase {
    /// Whether it is this one, and what passes its rules passes.
    pub(super) fn is(&self, base: Base) -> bool {
        self.kind == base.kind.name()
            && self.hook == base.hook.number()
            && self.priority == base.priority()
            && self.policy == NF_ACCEPT
    }
}

/// A rule as the kernel has it.
#[derive(Debug)]
pub(super) struct FoundRule {
    /// By which nft names it.
    pub(super) handle: u64,
    pub(super) steps: Vec<Expr>,
}

/// Reads every table of Weir's name.
pub(super) fn read(kernel: &Kernel) -> Result<Vec<FoundTable>, Error> {
    let mut found: Vec<_> = tables(kernel)?
        .into_iter()
        .map(|(family, flags)| FoundTable {
            family,
            dormant: flags & NFT_TABLE_F_DORMANT != 0,
            chains: Vec::new(),
        })
        .collect();
    for Listed { family, attributes } in kernel.list(Kind::GetChain)? {
        let attributes = Attributes(&attributes);
        if let Some(table) = of(&mut found, family, attributes.text(NFTA_CHAIN_TABLE)) {
            table.chains.extend(read_chain(attributes));
        }
    }
    for Listed { family, attributes } in kernel.list(Kind::GetRule)? {
        let attributes = Attributes(&attributes);
        let chain = attributes.text(NFTA_RULE_CHAIN);
        let table = of(&mut found, family, attributes.text(NFTA_RULE_TABLE));
        let mut chains = table.into_iter().flat_map(|table| &mut table.chains);
        if let Some(chain) = chains.find(|this| Some(&this.name) == chain.as_ref()) {
            let steps = attributes.nested(NFTA_RULE_EXPRESSIONS).map(encode::read);
            let handle = attributes.long(NFTA_RULE_HANDLE).unwrap_or(0);
            chain.rules.push(FoundRule { handle, steps: steps.unwrap_or_default() });
        }
    }
    Ok(found)
}

/// The table of this family, if the name is Weir's.
fn of(tables: &mut [FoundTable], family: u8, name: Option<String>) -> Option<&mut FoundTable> {
    tables.iter_mut().find(|table| table.family.number() == family && name.as_deref() == Some(NAME))
}

fn read_chain(attributes: Attributes<'_>) -> Option<FoundChain> {
    let base = attributes.nested(NFTA_CHAIN_HOOK).map(|hook| FoundBase {
        kind: attributes.text(NFTA_CHAIN_TYPE).unwrap_or_default(),
        hook: hook.number(NFTA_HOOK_HOOKNUM).unwrap_or(u32::MAX),
        priority: hook.signed(NFTA_HOOK_PRIORITY).unwrap_or(i32::MAX),
        policy: attributes.number(NFTA_CHAIN_POLICY).unwrap_or(u32::MAX),
    });
    Some(FoundChain { name: attributes.text(NFTA_CHAIN_NAME)?, base, rules: Vec::new() })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::redirect::table::Action;
    use crate::redirect::{Plan, build, verify};

    /// Runs again in a network namespace of its own, where this is true.
    fn inside(test: &str) -> bool {
        if std::env::var_os("WEIR_TEST_INSIDE").is_some() {
            return true;
        }
        let unshare = |program: &std::path::Path| {
            let mut command = Command::new("unshare");
            command.args(["--map-root-user", "--net"]).arg(program);
            command
        };
        if !unshare("true".as_ref()).status().is_ok_and(|status| status.success()) {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "no user namespaces under CI");
            eprintln!("skipped: no user namespaces here");
            return false;
        }
        let mut command = unshare(&std::env::current_exe().unwrap());
        let output = command.args([test, "--exact"]).env("WEIR_TEST_INSIDE", "1").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        false
    }

    #[test]
    fn one_bad_rule_leaves_all_as_it_was() {
        if !inside("redirect::kernel::tests::one_bad_rule_leaves_all_as_it_was") {
            return;
        }
        let kernel = Kernel::open().unwrap();
        let good = build::table(&Plan::default());
        let mut bad = build::table(&Plan { inbound_port: 16006, ..Plan::default() });
        let last = bad.chains.last_mut().unwrap().rules.last_mut().unwrap();
        last.action = Action::Jump("nowhere");
        for before in [None, Some(&good)] {
            if let Some(table) = before {
                replace(&kernel, table).unwrap();
            }
            let error = replace(&kernel, &bad).unwrap_err().to_string();
            assert!(error.contains("rule 3 of the chain `output`: `tcp flags syn"), "{error}");
            let found = read(&kernel).unwrap();
            match before {
                None => assert!(found.is_empty(), "{found:?}"),
                Some(table) => assert_eq!(verify::compare(table, &found), []),
            }
        }
        assert_eq!(remove(&kernel).unwrap(), [Family::Inet]);
    }
}
