//! Bytes as weight files: raw, and with a header that passes the checks in front of what it holds.

use crate::input::read;
use aquatope_core::nn::Weights;
use aquatope_core::nn::weights::{HEADER_BYTES, Header, ModelKind};
use arbitrary::Arbitrary;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    raw: &'a [u8],
    hybrid: bool,
    window: u32,
    shape: [u16; 10],
    values: Vec<f32>,
}

/// See the head of the module.
pub fn run(bytes: &[u8]) {
    let Some(input) = read::<Input>(bytes) else { return };
    let _ = Weights::parse(input.raw);

    let kind = if input.hybrid { ModelKind::Hybrid } else { ModelKind::Light };
    let header = Header { kind, window: input.window, shape: input.shape.map(u32::from) };
    let Ok(head) = header.to_bytes(&input.values) else { return };
    let mut file = vec![0.0_f32; HEADER_BYTES / 4];
    bytemuck::cast_slice_mut::<f32, u8>(&mut file).copy_from_slice(&head);
    file.extend(&input.values);
    let weights = Weights::parse(bytemuck::cast_slice(&file)).expect("what was written is read back");
    assert_eq!((weights.header(), weights.values()), (&header, input.values.as_slice()));
}
