//! The record of one closed minute: its windows by function, as variable-length integers, 6 to 10 bytes each.

use aquatope_core::activation::FunctionId;
use aquatope_core::time::Minute;
use aquatope_core::window::Window;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Entry {
    /// After the function before.
    function: u32,
    invocations: u32,
    cold_starts: u32,
    peak: u32,
    busy_ms: u64,
}

/// `windows` are of one minute, in order of function.
pub(super) fn encode(windows: &[(FunctionId, Window)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 * windows.len());
    let mut before = 0;
    for (id, window) in windows {
        let Window { invocations, cold_starts, peak, busy_ms, .. } = *window;
        let entry = Entry { function: id.0.wrapping_sub(before), invocations, cold_starts, peak, busy_ms };
        bytes = postcard::to_extend(&entry, bytes).expect("plain data is written to memory");
        before = id.0;
    }
    bytes
}

pub(super) fn decode(
    minute: Minute,
    mut bytes: &[u8],
    mut each: impl FnMut(FunctionId, Window),
) -> Result<(), postcard::Error> {
    let mut id = FunctionId(0);
    while !bytes.is_empty() {
        let (entry, rest) = postcard::take_from_bytes::<Entry>(bytes)?;
        bytes = rest;
        id.0 = id.0.wrapping_add(entry.function);
        let Entry { invocations, cold_starts, peak, busy_ms, .. } = entry;
        each(id, Window { minute, invocations, cold_starts, peak, busy_ms });
    }
    Ok(())
}
