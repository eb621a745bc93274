//! From bytes to what a target is fed.

use arbitrary::{Arbitrary, Result, Unstructured};

/// A value made of all bytes, if they make one.
pub fn read<'a, T: Arbitrary<'a>>(bytes: &'a [u8]) -> Option<T> {
    T::arbitrary_take_rest(Unstructured::new(bytes)).ok()
}

/// Operations as far as the input goes; a `Vec` would end wherever a single bit says so, mostly after one or two.
#[derive(Debug)]
pub struct Operations<T>(pub Vec<T>);

impl<'a, T: Arbitrary<'a>> Arbitrary<'a> for Operations<T> {
    fn arbitrary(input: &mut Unstructured<'a>) -> Result<Self> {
        let mut operations = Vec::new();
        while !input.is_empty() && operations.len() < 1_000 {
            operations.push(T::arbitrary(input)?);
        }
        Ok(Self(operations))
    }
}
