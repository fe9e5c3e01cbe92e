//! Steps of rules to and from the kernel's attributes.
//!
//! Source: `include/uapi/linux/netfilter/nf_tables.h`, whose names the constants bear.

use super::attributes::{Attributes, Writer};
use super::expr::{Expr, NFPROTO_IPV4, NFT_CMP_EQ, NFT_CMP_GTE, NFT_CMP_LTE};

const NFTA_LIST_ELEM: u16 = 1;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_META_DREG: u16 = 1;
const NFTA_META_KEY: u16 = 2;
const NFTA_CT_DREG: u16 = 1;
const NFTA_CT_KEY: u16 = 2;
const NFTA_CT_DIRECTION: u16 = 3;
const NFTA_PAYLOAD_DREG: u16 = 1;
const NFTA_PAYLOAD_BASE: u16 = 2;
const NFTA_PAYLOAD_OFFSET: u16 = 3;
const NFTA_PAYLOAD_LEN: u16 = 4;
const NFTA_BITWISE_SREG: u16 = 1;
const NFTA_BITWISE_DREG: u16 = 2;
const NFTA_BITWISE_LEN: u16 = 3;
const NFTA_BITWISE_MASK: u16 = 4;
const NFTA_BITWISE_XOR: u16 = 5;
const NFTA_BITWISE_OP: u16 = 6;
const NFTA_CMP_SREG: u16 = 1;
const NFTA_CMP_OP: u16 = 2;
const NFTA_CMP_DATA: u16 = 3;
const NFTA_RANGE_SREG: u16 = 1;
const NFTA_RANGE_OP: u16 = 2;
const NFTA_RANGE_FROM_DATA: u16 = 3;
const NFTA_RANGE_TO_DATA: u16 = 4;
const NFTA_IMMEDIATE_DREG: u16 = 1;
const NFTA_IMMEDIATE_DATA: u16 = 2;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_DATA_VERDICT: u16 = 2;
const NFTA_VERDICT_CODE: u16 = 1;
const NFTA_VERDICT_CHAIN: u16 = 2;
const NFTA_REDIR_REG_PROTO_MIN: u16 = 1;
const NFTA_REDIR_REG_PROTO_MAX: u16 = 2;
const NFTA_REDIR_FLAGS: u16 = 3;
const NFTA_NAT_TYPE: u16 = 1;
const NFTA_NAT_FAMILY: u16 = 2;
const NFTA_NAT_REG_ADDR_MIN: u16 = 3;
const NFTA_NAT_REG_ADDR_MAX: u16 = 4;
const NFTA_NAT_REG_PROTO_MIN: u16 = 5;
const NFTA_NAT_REG_PROTO_MAX: u16 = 6;
const NFTA_NAT_FLAGS: u16 = 7;
const NFTA_REJECT_TYPE: u16 = 1;
const NFTA_REJECT_ICMP_CODE: u16 = 2;

/// The register of verdicts.
const NFT_REG_VERDICT: u32 = 0;
/// The registers of everything else.
const NFT_REG_1: u32 = 1;
const NFT_REG_2: u32 = 2;
const NFT_REG_3: u32 = 3;
/// NAT of the destination.
const NFT_NAT_DNAT: u32 = 1;
/// The NAT names addresses.
const NF_NAT_RANGE_MAP_IPS: u32 = 1;
/// The NAT names a port, and nothing more.
const NF_NAT_RANGE_PROTO_SPECIFIED: u32 = 2;

/// Writes the steps of a rule, each an element of the list.
pub(super) fn write(list: &mut Writer<'_>, steps: &[Expr]) {
    for step in steps {
        list.nested(NFTA_LIST_ELEM, |element| {
            element.text(NFTA_EXPR_NAME, name(step));
            element.nested(NFTA_EXPR_DATA, |data| write_data(data, step));
        });
    }
}

/// The kernel's name of the step.
fn name(step: &Expr) -> &str {
    match step {
        Expr::Meta(_) => "meta",
        Expr::Ct(_) => "ct",
        Expr::Payload { .. } => "payload",
        Expr::Mask(_) => "bitwise",
        Expr::Cmp(..) => "cmp",
        Expr::Load(..) | Expr::Verdict(..) => "immediate",
        Expr::Counter => "counter",
        Expr::Redirect => "redir",
        Expr::Dnat => "nat",
        Expr::Reject(..) => "reject",
        Expr::Other(name) => name,
    }
}

fn write_data(data: &mut Writer<'_>, step: &Expr) {
    match step {
        Expr::Meta(key) => {
            data.number(NFTA_META_DREG, NFT_REG_1);
            data.number(NFTA_META_KEY, *key);
        }
        Expr::Ct(key) => {
            data.number(NFTA_CT_DREG, NFT_REG_1);
            data.number(NFTA_CT_KEY, *key);
        }
        Expr::Payload { base, offset, len } => {
            data.number(NFTA_PAYLOAD_DREG, NFT_REG_1);
            data.number(NFTA_PAYLOAD_BASE, *base);
            data.number(NFTA_PAYLOAD_OFFSET, *offset);
            data.number(NFTA_PAYLOAD_LEN, *len);
        }
        Expr::Mask(mask) => {
            data.number(NFTA_BITWISE_SREG, NFT_REG_1);
            data.number(NFTA_BITWISE_DREG, NFT_REG_1);
            data.number(NFTA_BITWISE_LEN, u32::try_from(mask.len()).unwrap_or(u32::MAX));
            data.nested(NFTA_BITWISE_MASK, |value| value.bytes(NFTA_DATA_VALUE, mask));
            let nothing = vec![0; mask.len()];
            data.nested(NFTA_BITWISE_XOR, |value| value.bytes(NFTA_DATA_VALUE, &nothing));
        }
        Expr::Cmp(op, bytes) => {
            data.number(NFTA_CMP_SREG, NFT_REG_1);
            data.number(NFTA_CMP_OP, *op);
            data.nested(NFTA_CMP_DATA, |value| value.bytes(NFTA_DATA_VALUE, bytes));
        }
        Expr::Load(register, bytes) => {
            data.number(NFTA_IMMEDIATE_DREG, *register);
            data.nested(NFTA_IMMEDIATE_DATA, |value| value.bytes(NFTA_DATA_VALUE, bytes));
        }
        Expr::Verdict(code, chain) => {
            data.number(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
            data.nested(NFTA_IMMEDIATE_DATA, |value| {
                value.nested(NFTA_DATA_VERDICT, |verdict| {
                    verdict.signed(NFTA_VERDICT_CODE, *code);
                    if let Some(chain) = chain {
                        verdict.text(NFTA_VERDICT_CHAIN, chain);
                    }
                });
            });
        }
        Expr::Redirect => {
            data.number(NFTA_REDIR_REG_PROTO_MIN, NFT_REG_1);
            data.number(NFTA_REDIR_FLAGS, NF_NAT_RANGE_PROTO_SPECIFIED);
        }
        Expr::Dnat => {
            data.number(NFTA_NAT_TYPE, NFT_NAT_DNAT);
            data.number(NFTA_NAT_FAMILY, NFPROTO_IPV4.into());
            data.number(NFTA_NAT_REG_ADDR_MIN, NFT_REG_1);
            data.number(NFTA_NAT_REG_ADDR_MAX, NFT_REG_2);
            data.number(NFTA_NAT_REG_PROTO_MIN, NFT_REG_3);
            data.number(NFTA_NAT_FLAGS, NF_NAT_RANGE_PROTO_SPECIFIED);
        }
        Expr::Reject(kind, code) => {
            data.number(NFTA_REJECT_TYPE, *kind);
            data.bytes(NFTA_REJECT_ICMP_CODE, &[*code]);
        }
        Expr::Counter | Expr::Other(_) => {}
    }
}

/// Reads the steps of a rule.
pub(super) fn read(list: Attributes<'_>) -> Vec<Expr> {
    let mut steps = Vec::new();
    for (_, element) in list {
        let element = Attributes(element);
        let name = element.text(NFTA_EXPR_NAME).unwrap_or_default();
        let data = element.nested(NFTA_EXPR_DATA).unwrap_or(Attributes(&[]));
        match read_data(&name, data) {
            Some(step) => steps.extend(step),
            None => steps.push(Expr::Other(name)),
        }
    }
    steps
}

/// A step of the kinds that Weir writes; `None` is any other. Most are one; a range is two
/// comparisons, which is what another version of nft writes for the same.
fn read_data(name: &str, data: Attributes<'_>) -> Option<Vec<Expr>> {
    let number = |kind| data.number(kind);
    let value = |kind| Some(data.nested(kind)?.get(NFTA_DATA_VALUE)?.to_vec());
    let register = |kind| (number(kind)? == NFT_REG_1).then_some(());
    let step = match name {
        "meta" => {
            register(NFTA_META_DREG)?;
            Expr::Meta(number(NFTA_META_KEY)?)
        }
        "ct" if data.get(NFTA_CT_DIRECTION).is_none() => {
            register(NFTA_CT_DREG)?;
            Expr::Ct(number(NFTA_CT_KEY)?)
        }
        "payload" => {
            register(NFTA_PAYLOAD_DREG)?;
            let (base, offset) = (number(NFTA_PAYLOAD_BASE)?, number(NFTA_PAYLOAD_OFFSET)?);
            Expr::Payload { base, offset, len: number(NFTA_PAYLOAD_LEN)? }
        }
        "bitwise" => {
            register(NFTA_BITWISE_SREG)?;
            register(NFTA_BITWISE_DREG)?;
            // Kernels before 5.6 know only masks, and no operation.
            let plain = number(NFTA_BITWISE_OP).unwrap_or(0) == 0
                && value(NFTA_BITWISE_XOR)?.iter().all(|byte| *byte == 0);
            Expr::Mask(plain.then(|| value(NFTA_BITWISE_MASK))??)
        }
        "cmp" => {
            register(NFTA_CMP_SREG)?;
            Expr::Cmp(number(NFTA_CMP_OP)?, value(NFTA_CMP_DATA)?)
        }
        "range" if number(NFTA_RANGE_OP)? == NFT_CMP_EQ => {
            register(NFTA_RANGE_SREG)?;
            let least = Expr::Cmp(NFT_CMP_GTE, value(NFTA_RANGE_FROM_DATA)?);
            return Some(vec![least, Expr::Cmp(NFT_CMP_LTE, value(NFTA_RANGE_TO_DATA)?)]);
        }
        "immediate" => return read_immediate(data).map(|step| vec![step]),
        "counter" => Expr::Counter,
        "redir" => {
            register(NFTA_REDIR_REG_PROTO_MIN)?;
            // The kernel shows the upper end too, and in the same register where it is the same.
            let one = number(NFTA_REDIR_REG_PROTO_MAX).is_none_or(|max| max == NFT_REG_1);
            let flags = number(NFTA_REDIR_FLAGS).unwrap_or(0);
            (one && flags | NF_NAT_RANGE_PROTO_SPECIFIED == NF_NAT_RANGE_PROTO_SPECIFIED)
                .then_some(Expr::Redirect)?
        }
        "nat" => is_spread(data).then_some(Expr::Dnat)?,
        "reject" => match data.get(NFTA_REJECT_ICMP_CODE)? {
            [code] => Expr::Reject(number(NFTA_REJECT_TYPE)?, *code),
            _ => return None,
        },
        _ => return None,
    };
    Some(vec![step])
}

/// Whether a NAT is the one that Weir writes. The kernel shows the port's upper end too, and adds to
/// the flags that there are addresses.
fn is_spread(data: Attributes<'_>) -> bool {
    const FLAGS: u32 = NF_NAT_RANGE_MAP_IPS | NF_NAT_RANGE_PROTO_SPECIFIED;
    data.number(NFTA_NAT_TYPE) == Some(NFT_NAT_DNAT)
        && data.number(NFTA_NAT_FAMILY) == Some(NFPROTO_IPV4.into())
        && data.number(NFTA_NAT_REG_ADDR_MIN) == Some(NFT_REG_1)
        && data.number(NFTA_NAT_REG_ADDR_MAX) == Some(NFT_REG_2)
        && data.number(NFTA_NAT_REG_PROTO_MIN) == Some(NFT_REG_3)
        && data.number(NFTA_NAT_REG_PROTO_MAX).is_none_or(|max| max == NFT_REG_3)
        && data.number(NFTA_NAT_FLAGS).unwrap_or(0) | FLAGS == FLAGS
}

fn read_immediate(data: Attributes<'_>) -> Option<Expr> {
    let register = data.number(NFTA_IMMEDIATE_DREG)?;
    let value = data.nested(NFTA_IMMEDIATE_DATA)?;
    if register == NFT_REG_VERDICT {
        let verdict = value.nested(NFTA_DATA_VERDICT)?;
        let code = verdict.signed(NFTA_VERDICT_CODE)?;
        return Some(Expr::Verdict(code, verdict.text(NFTA_VERDICT_CHAIN)));
    }
    let bytes = value.get(NFTA_DATA_VALUE)?.to_vec();
    (NFT_REG_1..=NFT_REG_3).contains(&register).then_some(Expr::Load(register, bytes))
}
