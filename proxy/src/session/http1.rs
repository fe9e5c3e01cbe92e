use super::*;
pub(crate) struct Http1;
impl Http1 {
    pub(crate) fn new() -> Self {
        Self
    }
    pub(crate) fn input(&mut self, _i: Input<'_>, _cx: &mut Cx<'_>, out: &mut Actions) {
        out.push(Action::Opaque)
    }
    pub(crate) fn wake(&mut self, _cx: &mut Cx<'_>, _o: &mut Actions) {}
    pub(crate) fn closed(&mut self, _cx: &mut Cx<'_>) {}
}
