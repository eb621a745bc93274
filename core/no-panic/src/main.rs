//! Proof that the core cannot panic. It is never run: that it links is the proof.
//!
//! Every operation of the core that is listed in the modules below is a function pointer that the compiler must take to be
//! called with any arguments, in any state. The panic handler calls a function that does not exist. So the linker
//! succeeds only when the optimiser has removed every way to a panic: each index is in range, each divisor is not zero,
//! each length agrees, whatever the arguments are. The same holds for what the core uses: `heapless`, `postcard`, `serde`,
//! `libm`, `bytemuck`, `rand_core` and Rust's own `core`.
//!
//! Proven so for `thumbv7em-none-eabihf`, with the compiler of `rust-toolchain.toml`, for a release build (in which integers
//! wrap) and the capacities stated in the modules. Not part of it: `Debug` and (but for one error) `Display`, and whatever
//! a caller brings: its random generator, its forecaster, its model.
//!
//! `make no-panic` links it. When it does not: `cargo build --release --features handler`, and look at who calls
//! `core::panicking` in the disassembly.
#![no_std]
#![no_main]
// A list that is not kept is no proof.
#![deny(dead_code)]

mod bo;
mod errors;
mod forecast;
mod gp;
mod numerics;
mod pool;
mod shipped;
mod structured;
mod window;
mod workflow;

use core::panic::PanicInfo;

/// Keeps operations in the binary, with nothing known of their arguments: by themselves, or called by a closure where
/// they take or return what a function pointer cannot name.
macro_rules! keep {
    (@one $operation:path, $kind:ty) => { $operation as $kind };
    (@one $operation:path, $kind:ty, $closure:expr) => { $closure as $kind };
    ($($operation:path: $kind:ty $(= $closure:expr)?),+ $(,)?) => {
        $(core::hint::black_box(keep!(@one $operation, $kind $(, $closure)?));)+
    };
}
use keep;

/// One that can panic, and must keep the binary from linking: that the check can fail is checked too.
#[cfg(feature = "control")]
fn element(values: &[u8], index: usize) -> u8 {
    values[index]
}

#[unsafe(no_mangle)]
extern "C" fn _start() {
    #[cfg(feature = "control")]
    keep!(element: fn(_, _) -> _);
    numerics::keep();
    gp::keep();
    bo::keep();
    workflow::keep();
    structured::keep();
    shipped::keep();
    window::keep();
    forecast::keep();
    pool::keep();
    errors::keep();
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    #[cfg(feature = "handler")]
    loop {}
    #[cfg(not(feature = "handler"))]
    {
        unsafe extern "C" {
            fn the_core_can_panic() -> !;
        }
        // SAFETY: there is no such function, so nothing that calls it is ever linked.
        unsafe { the_core_can_panic() }
    }
}
