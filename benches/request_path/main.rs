//! What a request costs before it is sent anywhere, and what a new configuration costs; one file for each step.

#![expect(
    clippy::expect_used,
    reason = "a bench that cannot be set up must stop"
)]

mod assemble;
mod decide;
mod dispatch;
mod publish;
mod yaml;

criterion::criterion_main!(
    dispatch::group,
    decide::group,
    assemble::group,
    publish::group
);
