use super::{RequestTrace, Sampling};
use crate::flag::Share;
use crate::forward::trace_context::{RANDOM, SAMPLED, TraceParent};

const SPAN: u64 = 0x00f0_67aa_0ba9_02b7;
/// The last 56 bits of its IDs are all 1, so that every share but 0 takes it.
const TAKEN: u128 = 0x4bf9_2f35_77b3_4da6_00ff_ffff_ffff_ffff;
/// They are 0, so that only the share of all takes it.
const LEFT: u128 = 0x4bf9_2f35_77b3_4da6_a300_0000_0000_0000;

fn came(trace: u128, flags: u8) -> Option<TraceParent> {
    Some(TraceParent {
        trace,
        span: SPAN,
        flags,
    })
}

fn share(hundredths: u16) -> Sampling {
    Sampling::of(Share::new(hundredths).expect("a share"))
}

/// A trace of a request whose random numbers are all this one.
fn begin(came: Option<TraceParent>, trusted: bool, random: u64) -> RequestTrace {
    RequestTrace::begin(came, trusted, share(100), || random)
}

#[test]
fn a_share_takes_as_many_as_it_says() {
    let takes = |sampling: Sampling, bits: u64| sampling.takes(bits);
    let end = (1 << 56) - 1;
    assert!(!takes(share(0), end) && takes(share(10_000), 0));
    let half = share(5_000);
    assert!(takes(half, 1 << 55) && !takes(half, (1 << 55) - 1));
    // The first eight bits count for nothing.
    assert!(!takes(half, 0xff << 56) && takes(share(1), u64::MAX));
    let percent = (0..100_000_u64).filter(|n| takes(share(100), n * ((1 << 56) / 100_000 + 1)));
    assert_eq!(percent.count(), 1_000);
}

#[test]
fn a_trusted_proxy_decides_and_so_does_the_id_of_its_trace() {
    for (trace, flags, sampled) in [
        (LEFT, SAMPLED, true),
        (LEFT, 0, false),
        (TAKEN, 0, true),
        (TAKEN, SAMPLED | RANDOM, true),
    ] {
        let trace = begin(came(trace, flags), true, 0);
        assert_eq!(trace.is_sampled(), sampled, "{trace:?}");
        assert_eq!(trace.parent().map(u64::from), Some(SPAN));
        assert_eq!(trace.context(false).flags & RANDOM, flags & RANDOM);
    }
}

#[test]
fn a_client_names_its_trace_and_chance_decides() {
    for trace in [LEFT, TAKEN] {
        let lucky = begin(came(trace, SAMPLED), false, u64::MAX);
        assert!(lucky.is_sampled() && lucky.id() == trace);
        let other = begin(came(trace, SAMPLED), false, 0);
        assert!(!other.is_sampled() && other.id() == trace);
        assert_eq!(other.context(false).flags, 0);
    }
}

#[test]
fn a_trace_that_begins_here_has_a_random_id() {
    let mut next = 6;
    let trace = RequestTrace::begin(None, true, share(0), || {
        next += 1;
        next
    });
    assert_eq!((trace.span(), trace.id()), (7, 8 << 64 | 9));
    assert_eq!(trace.parent(), None);
    assert_eq!(trace.context(false).flags, RANDOM);
    // IDs of 0 are not valid, whatever chance says.
    let nothing = begin(None, false, 0);
    assert!(nothing.id() != 0 && nothing.span() != 0);
}

#[test]
fn each_attempt_has_a_span_and_a_rescue_is_recorded() {
    let trace = begin(came(LEFT, 0), true, 7);
    let spans: Vec<u64> = (0..100).map(|number| trace.attempt_span(number)).collect();
    let mut different = spans.clone();
    different.push(trace.span());
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), 101);
    let sent = trace.context(true);
    assert_eq!((sent.span, sent.flags), (spans[0], SAMPLED));
}
