//! What a request costs before it is sent anywhere, what its endpoint costs, and what a new configuration costs; one file for each step.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a bench that cannot be set up must stop"
)]

mod assemble;
mod decide;
mod dispatch;
mod pick;
mod publish;
mod unleash;
mod yaml;

criterion::criterion_main!(
    dispatch::group,
    decide::group,
    assemble::group,
    unleash::group,
    pick::group,
    publish::group
);
