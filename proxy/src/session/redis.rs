use super::*;
pub(crate) struct Redis;
impl Redis {
    pub(crate) fn new(_o: &Options, _d: bool) -> Self {
        Self
    }
    pub(crate) fn input(&mut self, _i: Input<'_>, _cx: &mut Cx<'_>, out: &mut Actions) {
        out.push(Action::Opaque)
    }
    pub(crate) fn wake(&mut self, _cx: &mut Cx<'_>, _o: &mut Actions) {}
    pub(crate) fn closed(&mut self, _cx: &mut Cx<'_>) {}
}
