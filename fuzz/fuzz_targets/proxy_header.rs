#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| serin_fuzz::proxy_header::check(input));
