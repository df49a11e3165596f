// Shared code, prepended to every ranking kernel.
//
// A pass covers one segment of the database (as much as fits into one binding) and a batch
// of queries. Workgroups are (block of codes, -, query); blocks beyond the dispatch limit of
// the first dimension continue in the second.

struct Pass {
    codes: u32,          // codes in this segment
    first_id: u32,       // id of the segment's first code
    first_block: u32,    // index of the segment's first block
    segment_blocks: u32, // blocks in this segment
    blocks: u32,         // blocks in the whole database
    levels: u32,         // allowed distances: 0 to levels - 1
    k: u32,              // requested hits, at most the number of codes
    queries: u32,        // queries in this batch
    filtered: u32,       // whether `allowed` restricts the codes
    stride: u32,         // guess: stride through the sample
    apart: u32,          // guess: difference between the ids of consecutive sampled codes
    room: u32,           // candidate buffer size per query
    part: u32,           // word_digits, word_cut: 0 for digits of keys, 1 for digits of ids
    shift: u32,          // word_digits, word_cut: lowest bit of the digit
    known: u32,          // word_digits: mask of the bits above the digit
}

// 32-bit words per code, padding bits clear.
override WORDS: u32 = 2u;

// Groups of four queries that sift and tally process at once: 1 or 4.
override FOURS: u32 = 4u;

// Invocations per workgroup of sift, tally and sum.
override WIDTH: u32 = 64u;

// Invocations per workgroup of the other kernels, and codes per invocation.
const THREADS: u32 = 256u;
const PER_THREAD: u32 = 16u;

@group(0) @binding(0) var<uniform> pass_: Pass;
@group(0) @binding(1) var<storage, read> codes: array<u32>;
@group(0) @binding(2) var<storage, read> queries: array<u32>;

// Bitmap of the codes of the whole database to search. Bound but not read if filtered = 0.
@group(0) @binding(7) var<storage, read> allowed: array<u32>;

// Hamming distance of code `code` of the segment and query `query` of the batch.
fn distance_of(code: u32, query: u32) -> u32 {
    var sum = 0u;
    for (var w = 0u; w < WORDS; w++) {
        sum += countOneBits(codes[code * WORDS + w] ^ queries[query * WORDS + w]);
    }
    return sum;
}

// Like distance_of, but returns a distance above all levels for a code that is filtered out.
fn counted_distance(code: u32, query: u32) -> u32 {
    if pass_.filtered != 0u {
        let id = pass_.first_id + code;
        if (allowed[id / 32u] >> (id % 32u) & 1u) == 0u {
            return 0xffffffffu;
        }
    }
    return distance_of(code, query);
}
