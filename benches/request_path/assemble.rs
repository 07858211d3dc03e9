//! From the text of a configuration to a snapshot, off the request path.

use std::hint::black_box;
use std::time::Duration;

use criterion::Criterion;
use serin::snapshot::assemble::assemble;
use serin::snapshot::offline::{NoopMeters, Offline};

use crate::yaml::{compile, text};

/// 10,000 flags: compiled from the file's text, then assembled. A changed flag of a file costs both, since the file is
/// read whole.
pub(crate) fn group() {
    let mut criterion = Criterion::default()
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let text = text(10, 10_000);
    criterion.bench_function("compile/10,000 flags", |bencher| {
        bencher.iter(|| compile(black_box(&text)));
    });
    let config = compile(&text);
    criterion.bench_function("assemble/10,000 flags", |bencher| {
        bencher.iter(|| {
            assemble(
                black_box(&config),
                1,
                &mut Offline::default(),
                &mut NoopMeters,
            )
        });
    });
    criterion.final_summary();
}
