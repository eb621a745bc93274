//! Prints the answers as bits. On the microcontroller also how much memory it took to find them.
//!
//! `cargo run --release` runs on an emulated Cortex-M4, `cargo run --release --target HOST` natively; `make firmware`
//! does both and compares.
#![cfg_attr(target_os = "none", no_std)]
#![cfg_attr(target_os = "none", no_main)]

use aquatope_firmware::{Failure, Memory, forecast, study};
use core::fmt::Write;

fn answers(out: &mut impl Write, memory: &mut Memory) -> Result<(), Failure> {
    let best = study(memory)?;
    let levels = best.point.indices();
    let bits = [best.ln_cost.mean, best.ln_latency.mean, best.feasible].map(f64::to_bits);
    writeln!(out, "study {levels:?} {bits:x?}").map_err(|_| "printing")?;
    let (last, means) = forecast()?;
    let bits = last.quantiles.map(f32::to_bits);
    writeln!(out, "forecast {bits:x?} {:x} {:x}", last.mean.to_bits(), means.to_bits())
        .map_err(|_| "printing")
}

#[cfg(not(target_os = "none"))]
fn main() -> Result<(), Failure> {
    let mut out = String::new();
    answers(&mut out, &mut Box::default())?;
    print!("{out}");
    Ok(())
}

#[cfg(target_os = "none")]
mod microcontroller {
    use super::{Memory, answers};
    use core::cell::RefCell;
    use core::panic::PanicInfo;
    use core::ptr;
    use cortex_m::interrupt::{self, Mutex};
    use cortex_m_semihosting::{debug, hio, hprintln};

    static MEMORY: Mutex<RefCell<Memory>> = Mutex::new(RefCell::new(Memory::new()));

    /// The most bytes of static variables and stack that the answers may take.
    const MOST: usize = 64 * 1024;

    /// What cortex-m-rt's `paint-stack` leaves where no stack has been.
    const PAINT: u32 = 0xcccc_cccc;

    unsafe extern "C" {
        /// The first word after the static variables, from cortex-m-rt's linker script.
        static mut __sheap: u32;
        /// The word after the highest of the stack.
        static mut _stack_start: u32;
    }

    #[cortex_m_rt::entry]
    fn main() -> ! {
        let Ok(mut out) = hio::hstdout() else { fail("no output") };
        let answered = interrupt::free(|alone| answers(&mut out, &mut MEMORY.borrow(alone).borrow_mut()));
        if let Err(step) = answered {
            fail(step);
        }
        let (statics, stack) = memory_used();
        hprintln!("memory static {} stack {}", statics, stack);
        if statics + stack > MOST {
            fail("it takes more memory than it may");
        }
        debug::exit(debug::EXIT_SUCCESS);
        fail("no debugger")
    }

    /// Bytes of static variables, and of the deepest stack so far.
    fn memory_used() -> (usize, usize) {
        const RAM: usize = 0x2000_0000;
        let (free, top) = (&raw const __sheap, &raw const _stack_start);
        let mut word = free;
        // SAFETY: the words between the static variables and the top of the stack are memory, and reading them as
        // volatile asks nothing of their contents.
        while word < top && unsafe { ptr::read_volatile(word) } == PAINT {
            word = word.wrapping_add(1);
        }
        (free.addr() - RAM, top.addr() - word.addr())
    }

    fn fail(what: &str) -> ! {
        hprintln!("failed: {}", what);
        debug::exit(debug::EXIT_FAILURE);
        loop {
            cortex_m::asm::wfi();
        }
    }

    #[panic_handler]
    fn panic(_: &PanicInfo<'_>) -> ! {
        fail("panic")
    }
}
