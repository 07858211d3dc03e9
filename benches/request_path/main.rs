//! What a request costs before it is sent anywhere; one file for each step.

#![expect(
    clippy::expect_used,
    reason = "a bench that cannot be set up must stop"
)]

mod decide;

criterion::criterion_main!(decide::group);
