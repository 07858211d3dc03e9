//! `baggage`, by which the deployments that were decided on are told to services further down.

use serin_core::canary::ReasonKind;
use serin_core::dispatch::Dispatch;

use crate::request::{PROXY, Request, STRANGER};

/// A stranger's baggage decides nothing; what goes on has Serin's own member once, and all others as they came.
pub fn check(input: &[u8]) {
    for peer in [STRANGER, PROXY] {
        let mut request = Request::new("/search").with_lines("baggage", input);
        request.peer = peer;
        let Dispatch::Forward(plan) = request.dispatch() else {
            continue;
        };
        let by_lane = plan.decision.reason.kind() == ReasonKind::Lane;
        assert!(peer == PROXY || !by_lane, "a stranger's lane was followed");
        let sent = request.sent_upstream(&plan);
        let fields: Vec<&[u8]> = sent
            .get_all("baggage")
            .iter()
            .map(|value| value.as_bytes())
            .collect();
        let [field] = fields[..] else {
            panic!("{} fields", fields.len());
        };
        let own = members(field)
            .into_iter()
            .filter(|member| key(member) == b"serin.search");
        assert_eq!(own.count(), 1, "{:?}", String::from_utf8_lossy(field));
        let foreign = |member: &Vec<u8>| !key(member).to_ascii_lowercase().starts_with(b"serin.");
        let values = request.fields.get_all("baggage").into_iter();
        let came = values
            .flat_map(|value| members(value.as_bytes()))
            .filter(foreign);
        let went = members(field).into_iter().filter(foreign);
        assert!(came.eq(went), "a member that is not Serin's was changed");
    }
}

fn members(field: &[u8]) -> Vec<Vec<u8>> {
    let members = field.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    let members = members.filter(|member| !member.is_empty());
    members.map(<[u8]>::to_vec).collect()
}

/// A member's key.
fn key(member: &[u8]) -> &[u8] {
    let key = member.split(|byte| b"=;".contains(byte)).next();
    key.unwrap_or_default().trim_ascii()
}
