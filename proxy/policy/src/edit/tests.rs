use proptest::prelude::*;

use super::{Edited, add, place};
use crate::learned::{Learned, LearnedRule};
use crate::op::{Protocol, Side};
use crate::write::rule::{entry_tree, rule_tree};
use crate::write::scalar::{Place, flow, string};
use crate::write::strategies;

/// Chooses ways of writing.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[usize::try_from(self.roll(choices.len() as u64)).unwrap()]
    }
}

/// A policy file of an odd style. The second: every list is in lines.
fn file(base: &Learned, seed: u64) -> (String, bool) {
    let mut dice = Dice(seed | 1);
    let mut lines_only = true;
    if dice.roll(12) == 0 {
        return (json(base), false);
    }
    let mut out = String::new();
    out.push_str(dice.of(&["", "# é\n\n", "---\n", "\u{feff}", "%YAML 1.2\n---\n"]));
    out.push_str("apiVersion: weir.dev/v1alpha1\nkind: TrafficPolicy # the kind\n");
    out.push_str(dice.of(&["metadata: {name: a}\n", "metadata:\n  name: a\n  labels: {b: c}\n"]));
    let column = " ".repeat(usize::try_from(1 + dice.roll(4)).unwrap());
    out.push_str("spec:\n");
    out.push_str(&format!(
        "{column}{}",
        dice.of(&["mode: monitor", "refusal: close # c", "\"mode\": 'learn'"])
    ));
    out.push('\n');
    for side in [Side::Outbound, Side::Inbound] {
        let rules: Vec<_> = base.rules.iter().filter(|rule| rule.side == side).collect();
        if rules.is_empty() {
            let empty =
                dice.of(&["", "S:\n", "S: # none\n", "S: []\n", "S: [ # c\n  ]\n", "S:\n# c\n"]);
            lines_only &= !empty.contains('[');
            if !empty.is_empty() {
                out.push_str(&column);
                out.push_str(&empty.replace('S', side.as_str()));
            }
            continue;
        }
        if dice.roll(8) == 0 {
            lines_only = false;
            let rules: Vec<_> = rules.iter().map(|rule| flow(&rule_tree(rule), false)).collect();
            out.push_str(&format!(
                "{column}{side}: [{}]\n",
                rules.join(dice.of(&[",", ", ", ",\n     "]))
            ));
            continue;
        }
        out.push_str(&format!("{column}{side}:{}\n", dice.of(&["", " # rules"])));
        let dash = format!("{column}{}", dice.of(&["", "  ", "    "]));
        for rule in rules {
            out.push_str(dice.of(&["", "\n", "# left\n", "                 # right\n\n"]));
            lines_only &= one_rule(rule, &dash, &mut dice, &mut out);
        }
    }
    out.push_str(dice.of(&["", "# the end\n", "\n\n", "...\n", "---\n# nothing more\n"]));
    if dice.roll(5) == 0 {
        out.truncate(out.trim_end_matches('\n').len());
    }
    if dice.roll(4) == 0 {
        out = out.replace('\n', "\r\n");
    }
    (out, lines_only)
}

fn json(base: &Learned) -> String {
    let side = |side: Side| {
        let rules = base.rules.iter().filter(|rule| rule.side == side);
        let rules: Vec<_> = rules.map(|rule| flow(&rule_tree(rule), true)).collect();
        format!("\"{side}\": [\n    {}\n  ]", rules.join(",\n    "))
    };
    format!(
        "{{\"apiVersion\": \"weir.dev/v1alpha1\", \"kind\": \"TrafficPolicy\",\n \"metadata\": \
         {{\"name\": \"a\"}}, \"spec\": {{\n  {},\n  {}\n}}}}\n",
        side(Side::Inbound),
        side(Side::Outbound)
    )
}

fn one_rule(rule: &LearnedRule, dash: &str, dice: &mut Dice, out: &mut String) -> bool {
    if dice.roll(6) == 0 {
        out.push_str(&format!("{dash}- {}\n", flow(&rule_tree(rule), false)));
        return false;
    }
    let crate::file::tree::Tree::Map(fields) = rule_tree(rule) else { unreachable!() };
    let gap = dice.of(&[" ", "   ", " &rule "]);
    let gap =
        if gap.contains('&') { format!(" &r{}\n{dash}  ", out.len()) } else { gap.to_owned() };
    let column = format!("{dash} {}", " ".repeat(if gap.contains('\n') { 1 } else { gap.len() }));
    let mut lead = format!("{dash}-{gap}");
    let mut lines_only = true;
    for (name, value) in fields {
        match (name.as_str(), rule.entries.is_empty()) {
            ("allow", true) => {
                let empty = dice.of(&["", "allow:", "allow: []", "allow: # none", "allow: [ ]"]);
                lines_only &= !empty.contains('[');
                if empty.is_empty() {
                    continue;
                }
                out.push_str(&format!("{lead}{empty}\n"));
            }
            ("allow", false) => lines_only &= allow(rule, &lead, &column, dice, out),
            _ => {
                let note = dice.of(&["", " # é", "\t# tab"]);
                out.push_str(&format!("{lead}{name}: {}{note}\n", flow(&value, false)));
            }
        }
        lead.clone_from(&column);
    }
    if rule.protocol != Protocol::Opaque && dice.roll(3) == 0 {
        let deny = match rule.protocol {
            Protocol::Tls => "sni b.example",
            Protocol::Grpc => "z.Z/Z",
            _ => "DEL /x",
        };
        out.push_str(&format!("{column}deny:\n{column}- {deny}\n"));
    }
    lines_only
}

fn allow(rule: &LearnedRule, lead: &str, column: &str, dice: &mut Dice, out: &mut String) -> bool {
    let mut trees: Vec<_> = rule.entries.iter().map(entry_tree).collect();
    if dice.roll(3) == 0 {
        trees.reverse();
    }
    let all: Vec<_> = trees.iter().map(|tree| flow(tree, false)).collect();
    match dice.roll(6) {
        0 => out.push_str(&format!("{lead}allow: [{}]\n", all.join(", "))),
        1 => out.push_str(&format!(
            "{lead}allow:\n{column}  [ {} ,\n{column} ]\n",
            all.join(",\n     ")
        )),
        2 => {
            let end = dice.of(&["", ",", ", # last", " # last"]);
            let between = dice.of(&["\n", " # é\n", "\n\n   # above\n"]);
            let all: Vec<_> = all.iter().map(|item| format!("{column}  {item}")).collect();
            let all = all.join(&format!(",{between}"));
            out.push_str(&format!("{lead}allow: [ # list\n{all}{end}\n{column}  ] # end\n"));
        }
        _ => {
            out.push_str(&format!(
                "{lead}allow:{}\n",
                dice.of(&["", " # reads", " &anchor", " !!seq"])
            ));
            let dash = format!("{column}{}", dice.of(&["", "  ", "      "]));
            for tree in trees {
                out.push_str(&item(&tree, &dash, dice));
            }
            return true;
        }
    }
    false
}

/// An entry as lines.
fn item(tree: &crate::file::tree::Tree, dash: &str, dice: &mut Dice) -> String {
    let above = dice.of(&["", "", "\n", "# left\n", "                          # above\n"]);
    let note = dice.of(&["", "", " # note", "\t# tab"]);
    let item = match tree {
        crate::file::tree::Tree::Text(op) => match dice.roll(5) {
            0 if op.is_ascii() && !op.contains(' ') && !op.starts_with('#') => {
                return format!("{above}{dash}- >-\n{dash}   {op}\n{dash}# end\n");
            }
            1 => flow(tree, true),
            2 => format!("# before\n{dash}  {}", flow(tree, true)),
            _ => string(op, Place::Block),
        },
        crate::file::tree::Tree::Map(fields) if dice.roll(2) == 0 => {
            let fields =
                fields.iter().map(|(name, value)| format!("{name}: {}", flow(value, false)));
            fields.collect::<Vec<_>>().join(&format!(" # field\n{dash}  "))
        }
        tree => flow(tree, false),
    };
    let below = dice.of(&["", "", "", "D      # below\n"]).replace('D', dash);
    format!("{above}{dash}- {item}{note}\n{below}")
}

fn is_subsequence<T: PartialEq>(
    of: impl Iterator<Item = T>,
    short: impl Iterator<Item = T>,
) -> bool {
    let mut of = of;
    short.into_iter().all(|item| of.any(|other| other == item))
}

fn added(name: &str, text: &str, additions: &Learned) -> Edited {
    add(name, text, additions, None).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn only_adds_and_all_of_it(
        base in strategies::learned(),
        additions in strategies::learned(),
        seed in any::<u64>(),
    ) {
        let mut base = base;
        base.rules.retain(|rule| !rule.peers.is_empty());
        let (old, lines_only) = file(&base, seed);
        let edited = added("p.yaml", &old, &additions);
        let new = &edited.text;
        prop_assert!(is_subsequence(new.bytes(), old.bytes()), "{old}\n=>\n{new}");
        if lines_only {
            prop_assert!(is_subsequence(new.lines(), old.lines()), "{old}\n=>\n{new}");
            // What was added is lines of its own: nothing was put into a line.
            prop_assert!(new.lines().count() >= old.lines().count() + edited.added.len());
        }
        prop_assert_eq!(old.contains("\r\n"), new.contains("\r\n"));
        prop_assert_eq!(new.matches('\n').count() > new.matches("\r\n").count(), old.matches('\n').count() > old.matches("\r\n").count(), "{}", new);

        let (before, after) = (crate::parse("o", &old).unwrap(), crate::parse("n", new).unwrap());
        let count = |policy: &crate::TrafficPolicy| {
            let sides = [Side::Inbound, Side::Outbound].map(|side| policy.rules(side));
            let rules = sides.into_iter().flatten().flatten();
            rules.map(|rule| rule.allow.len() + usize::from(rule.protocol == Some(Protocol::Opaque))).sum::<usize>()
        };
        prop_assert_eq!(count(&before[0]) + edited.added.len(), count(&after[0]));
        for rule in &additions.rules {
            let rules = after[0].rules(rule.side).unwrap_or_default();
            let covering: Vec<_> = rules.iter().filter(|old| place::covers(old, rule)).collect();
            for entry in &rule.entries {
                let read = place::entry(entry, rule.protocol).unwrap();
                let left = edited.left.iter().any(|left| left.entries.contains(&entry.op));
                prop_assert!(place::allows(&covering, &read) || left, "{:?}\n{}", entry, new);
            }
        }
        let again = added("p.yaml", new, &additions);
        prop_assert_eq!(&again.text, new);
        prop_assert!(again.added.is_empty());
    }

    /// Whatever else a file may look like: it is added to, or an error says why not.
    #[test]
    fn odd_files_are_edited_or_left_alone(
        base in strategies::learned(),
        additions in strategies::learned(),
        seed in any::<u64>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..3u8, "[-:#,{}&*!?|>'\" \n\t~a]{0,3}"), 1..2),
    ) {
        let mut base = base;
        base.rules.retain(|rule| !rule.peers.is_empty());
        let mut chars: Vec<char> = file(&base, seed).0.chars().collect();
        for (at, gone, new) in edits {
            let at = at.index(chars.len());
            let end = (at + usize::from(gone)).min(chars.len());
            chars.splice(at..end, new.chars());
        }
        let old: String = chars.into_iter().collect();
        if let Ok(edited) = add("p.yaml", &old, &additions, None) {
            prop_assert!(is_subsequence(edited.text.bytes(), old.bytes()), "{old}");
            let again = add("p.yaml", &edited.text, &additions, None).unwrap();
            prop_assert_eq!(again.text, edited.text);
        }
    }
}
