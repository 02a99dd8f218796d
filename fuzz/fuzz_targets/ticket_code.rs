//! `ticket_code`, guided by coverage.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hakken_tests::fuzz::guided("ticket_code", input));
