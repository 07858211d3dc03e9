//! MurmurHash3, without putting the hashed text together first.

/// MurmurHash3, x86, 32 bits (Austin Appleby, public domain), over parts that are hashed as if they were one text.
pub fn murmur3_32<'a>(seed: u32, parts: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    let mut state = Murmur3 {
        hash: seed,
        length: 0,
        pending: 0,
    };
    for part in parts {
        state.write(part);
    }
    state.finish()
}

/// A hash under way.
struct Murmur3 {
    hash: u32,
    /// Bytes so far; modulo 4 this is how many are pending.
    length: usize,
    /// The bytes that do not make up a block of four yet, first byte lowest.
    pending: u64,
}

impl Murmur3 {
    fn write(&mut self, bytes: &[u8]) {
        let (blocks, rest) = bytes.as_chunks::<4>();
        // Where parts do not end on a block's border, every later block is put together from two of the text's.
        let shift = 8 * (self.length % 4);
        for block in blocks {
            self.pending |= u64::from(u32::from_le_bytes(*block)) << shift;
            self.mix_pending();
        }
        let mut tail = 0;
        for byte in rest.iter().rev() {
            tail = tail << 8 | u64::from(*byte);
        }
        self.pending |= tail << shift;
        if self.length % 4 + rest.len() >= 4 {
            self.mix_pending();
        }
        self.length += bytes.len();
    }

    /// Takes in a whole block, and leaves what goes beyond it pending.
    fn mix_pending(&mut self) {
        self.hash = (self.hash ^ scramble(self.pending as u32))
            .rotate_left(13)
            .wrapping_mul(5)
            .wrapping_add(0xe654_6b64);
        self.pending >>= 32;
    }

    fn finish(self) -> u32 {
        // Scrambling nothing gives nothing, so an empty rest needs no case of its own.
        let mut hash = self.hash ^ scramble(self.pending as u32);
        // The algorithm takes the length in 32 bits.
        hash ^= self.length as u32;
        hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
        hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
        hash ^ (hash >> 16)
    }
}

fn scramble(block: u32) -> u32 {
    block
        .wrapping_mul(0xcc9e_2d51)
        .rotate_left(15)
        .wrapping_mul(0x1b87_3593)
}
