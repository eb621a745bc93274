//! Inputs from seeds, by the edits a fuzzer makes, without coverage to lead it.

use aquatope_core::random::SplitMix64;
use rand_core::Rng;

/// The longest input.
const LONGEST: usize = 4_096;

/// What readers of text trip over.
const WORDS: [&str; 20] = [
    "0",
    "-1",
    "1e308",
    "1e-320",
    "-0.0",
    "nan",
    "inf",
    "9223372036854775807",
    "18446744073709551616",
    "4294967296",
    "65536",
    "null",
    "true",
    "\"\"",
    "[]",
    "{}",
    "\u{fffd}",
    "\n",
    "\0",
    ",",
];

/// An endless row of inputs: random bytes where there are no seeds, else seeds with a few edits.
pub struct Inputs {
    seeds: Vec<Vec<u8>>,
    rng: SplitMix64,
}

impl Inputs {
    /// The row of this seed number.
    pub fn new(seeds: Vec<Vec<u8>>, number: u64) -> Self {
        Self { seeds, rng: SplitMix64(number) }
    }

    fn below(&mut self, end: usize) -> usize {
        (self.rng.next_u64() % end.max(1) as u64) as usize
    }

    fn seed(&mut self) -> Vec<u8> {
        let at = self.below(self.seeds.len());
        self.seeds[at].clone()
    }

    fn noise(&mut self, longest: usize) -> Vec<u8> {
        let mut bytes = vec![0; 1 + self.below(longest)];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    fn edit(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len());
        let end = at + self.below(bytes.len() - at).min(64);
        match self.below(7) {
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << self.below(8);
                }
            }
            1 => drop(bytes.drain(at..end)),
            2 => {
                let again = bytes[at..end].to_vec();
                let to = self.below(bytes.len());
                bytes.splice(to..to, again);
            }
            3 => {
                let other = self.seed();
                let from = self.below(other.len());
                bytes.splice(at.., other[from..].iter().copied());
            }
            4 => {
                let noise = self.noise(8);
                bytes.splice(at..at, noise);
            }
            5 => {
                let word = WORDS[self.below(WORDS.len())];
                bytes.splice(at..at, word.bytes());
            }
            _ => {
                // A number, or whatever word stands here, becomes another one.
                let inside = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_".contains(byte);
                let start = bytes[..at].iter().rposition(|byte| !inside(byte)).map_or(0, |before| before + 1);
                let end = bytes[at..].iter().position(|byte| !inside(byte)).map_or(bytes.len(), |n| at + n);
                let word = WORDS[self.below(WORDS.len())];
                bytes.splice(start..end, word.bytes());
            }
        }
    }
}

impl Iterator for Inputs {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        if self.seeds.is_empty() {
            let longest = [64, 512, LONGEST][self.below(3)];
            return Some(self.noise(longest));
        }
        let mut bytes = self.seed();
        for _ in 0..self.below(6) {
            self.edit(&mut bytes);
            bytes.truncate(LONGEST);
        }
        Some(bytes)
    }
}
