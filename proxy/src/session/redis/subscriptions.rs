//! What the server sends unasked, and confirmations of subscriptions.

use weir_parsers::redis::Kind;

use super::pending::{Expect, Pending, Reply};
use super::special::{Subscription, Topic};
use super::{Actions, Cx, Redis};
use crate::report::Status;

impl Redis {
    /// Whether what begins so may be no reply; that shows when it is complete.
    pub(super) fn may_be_unasked(&self, kind: Kind, line: &[u8]) -> bool {
        match kind {
            Kind::Push(_) | Kind::Attribute(_) => true,
            Kind::Array(_) => self.is_in_subscribed_mode(),
            Kind::Simple => self.replies.monitoring && is_monitor_line(line),
            _ => false,
        }
    }

    /// A message, an invalidation, a line of MONITOR: nobody's reply.
    pub(super) fn unasked(&mut self, reply: &Reply) {
        if let Some(transaction) = &mut self.live {
            transaction.bytes_out += reply.bytes;
        }
    }

    /// Whether messages come as arrays.
    pub(super) fn is_in_subscribed_mode(&self) -> bool {
        !self.replies.resp3 && self.replies.is_subscribed()
    }

    /// Whether the oldest command waits for this confirmation.
    pub(super) fn awaits(&self, what: Subscription) -> bool {
        matches!(
            self.pending.front(),
            Some(Pending { expect: Expect::Confirmations { of, .. }, .. }) if *of == what
        )
    }

    /// One topic has been subscribed to, or left.
    pub(super) fn confirm(
        &mut self,
        of: Subscription,
        reply: &Reply,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) {
        let before = *self.replies.count(of.topic);
        self.count_subscription(of, reply.integer);
        let subscribed = self.replies.is_subscribed();
        if !subscribed && !self.replies.monitoring {
            self.end_live(cx);
        }
        let Some(Pending { transaction, expect: Expect::Confirmations { of: expected, left, .. } }) =
            self.pending.front_mut()
        else {
            return;
        };
        if *expected != of {
            return;
        }
        transaction.bytes_out += reply.bytes;
        // Leaving everything is confirmed once for each topic, and once where there is none.
        let remaining = left.unwrap_or(before.max(1)).saturating_sub(1);
        *left = Some(remaining);
        if remaining > 0 {
            return;
        }
        let Some(Pending { mut transaction, .. }) = self.pop() else { return };
        transaction.status = Status::Ok;
        transaction.complete = true;
        if !of.leave && subscribed {
            self.begin_live(transaction, cx);
        } else {
            cx.report.end(cx.now, transaction);
        }
        self.end_if_answered(cx, out);
    }

    /// Takes over the number of subscriptions that a confirmation tells: of channels and
    /// patterns together, or of shard channels.
    pub(super) fn count_subscription(&mut self, of: Subscription, now: i64) {
        let now = u32::try_from(now).unwrap_or(0);
        if of.topic == Topic::Shard {
            *self.replies.count(of.topic) = now;
            return;
        }
        let [channels, patterns, _] = self.replies.subscriptions;
        let total = channels + patterns;
        let count = self.replies.count(of.topic);
        if now > total {
            *count += 1;
        } else if now < total {
            *count = count.saturating_sub(1);
        }
    }

    /// The oldest commands have no answer where their confirmations do not come: they failed,
    /// and with replies off nothing was told.
    pub(super) fn pass_over_silent(&mut self, cx: &mut Cx<'_>) {
        while let Some(Pending { expect: Expect::Confirmations { silent: true, .. }, .. }) =
            self.pending.front()
        {
            if let Some(pending) = self.pop() {
                cx.report.end(cx.now, pending.transaction);
            }
        }
    }
}

pub(super) fn is_message(reply: &Reply) -> bool {
    matches!(reply.word(), b"message" | b"pmessage" | b"smessage")
}

/// MONITOR's lines begin with a time: seconds, a dot, microseconds.
pub(super) fn is_monitor_line(line: &[u8]) -> bool {
    let word = line.split(|&b| b == b' ').next().unwrap_or_default();
    word.first().is_some_and(u8::is_ascii_digit)
        && word.iter().all(|b| b.is_ascii_digit() || *b == b'.')
}
