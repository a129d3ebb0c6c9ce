//! Storage formats against the `gguf` package, bit for bit.

use isogloss_model::checkpoint::Dtype;
use isogloss_model::checkpoint::quant::dequantize_row;
use isogloss_model::checkpoint::write::quantize;
use proptest::prelude::*;

use crate::files::golden;

fn bytes_of_hex(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().as_chunks::<2>().0;
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.iter().map(byte).collect()
}

#[test]
fn every_format_equals_the_reference_bit_for_bit() {
    let golden = golden("quant/blocks.json");
    for dtype in Dtype::ALL {
        let case = &golden[dtype.name()];
        let bytes = bytes_of_hex(case["bytes"].as_str().unwrap());
        let want = bytes_of_hex(case["f32_bits"].as_str().unwrap());
        let want: Vec<u32> = want
            .as_chunks::<4>()
            .0
            .iter()
            .map(|b| u32::from_be_bytes(*b))
            .collect();
        let mut got = vec![0.0_f32; want.len()];
        dequantize_row(dtype, &bytes, &mut got);
        let got: Vec<u32> = got.iter().map(|x| x.to_bits()).collect();
        assert_eq!(got, want, "{dtype}");
        assert!(
            want.len() >= 2 * dtype.block_len(),
            "{dtype}: too little golden data"
        );
    }
}

#[test]
fn a_block_of_q4_0_by_hand() {
    // Scale 0.5 = f16 3800; low nibbles 1, high ones 15: 0.5 · (1 − 8) = −3.5, 0.5 · (15 − 8) = 3.5.
    let mut block = vec![0x00, 0x38];
    block.extend([0xF1; 16]);
    let mut out = [0.0; 32];
    dequantize_row(Dtype::Q4_0, &block, &mut out);
    assert_eq!(out[..16], [-3.5; 16]);
    assert_eq!(out[16..], [3.5; 16]);
}

proptest! {
    #[test]
    fn quantized_values_stay_within_half_a_step(values in prop::collection::vec(-8.0_f32..8.0, 64)) {
        for (dtype, n_steps) in [(Dtype::Q8_0, 127.0), (Dtype::Q4_0, 8.0)] {
            let mut out = vec![0.0; 64];
            dequantize_row(dtype, &quantize(dtype, &values), &mut out);
            for (block, restored) in values.chunks(32).zip(out.chunks(32)) {
                let step = block.iter().fold(0.0_f32, |max, x| max.max(x.abs())) / n_steps;
                for (value, restored) in block.iter().zip(restored) {
                    // Q4_0 has no ninth step on the side opposite to the extreme: a whole step there.
                    let bound = if dtype == Dtype::Q4_0 { 1.0 } else { 0.5 };
                    // The scale itself is rounded to 11 bits.
                    prop_assert!((value - restored).abs() <= step * bound + value.abs() * 1e-3 + 1e-6);
                }
            }
        }
    }
}
