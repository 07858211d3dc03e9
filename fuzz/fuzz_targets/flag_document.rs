#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| serin_fuzz::flag_document::check(input));
