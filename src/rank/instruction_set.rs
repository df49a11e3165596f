/*!
The instruction sets that kernels of ranking are written for.
*/

use std::fmt;

/// An instruction set with a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstructionSet {
    /// AVX-512, with the extensions that the kernel needs.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// NEON.
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// No special instructions: runs on any processor.
    Portable,
}

impl InstructionSet {
    /// Returns the instruction sets that this processor supports, fastest first and the portable one
    /// last. `has_avx512` says whether it has the extensions of AVX-512 that the kernel needs.
    pub fn available(has_avx512: bool) -> impl Iterator<Item = Self> {
        let sets: &[Self] = &[
            #[cfg(target_arch = "x86_64")]
            Self::Avx512,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2,
            #[cfg(target_arch = "aarch64")]
            Self::Neon,
            Self::Portable,
        ];
        sets.iter().copied().filter(move |set| set.runs_here(has_avx512))
    }

    #[cfg_attr(not(target_arch = "x86_64"), expect(unused_variables))]
    fn runs_here(self, has_avx512: bool) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => is_x86_feature_detected!("avx512f") && has_avx512,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            Self::Portable => true,
        }
    }
}

impl fmt::Display for InstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "AVX-512",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "AVX2",
            #[cfg(target_arch = "aarch64")]
            Self::Neon => "NEON",
            Self::Portable => "portable",
        })
    }
}
