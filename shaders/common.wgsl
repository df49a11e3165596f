// Shared by every ranking kernel; put in front of each of them.
//
// A pass covers one segment of the database (what one binding can hold) and a
// batch of queries. Workgroups are (block of codes, -, query): blocks beyond the
// dispatch limit of one dimension continue in the second.

struct Pass {
    codes: u32,          // codes in this segment
    first_id: u32,       // id of the segment's first code
    first_block: u32,    // number of the segment's first block
    segment_blocks: u32, // blocks in this segment
    blocks: u32,         // blocks in the whole database
    levels: u32,         // distances that count: 0 to levels - 1
    k: u32,              // hits wanted, at most the database's size
    queries: u32,        // queries in this batch
    filtered: u32,       // whether `allowed` says which codes count
    stride: u32,         // guess: every how manieth code of the sample is looked at
    apart: u32,          // guess: from the id of one sampled code to that of the next
    room: u32,           // candidates for which a query has room
}

// 32-bit words per code, padding bits clear.
override WORDS: u32 = 2u;

// How many times four queries sift and tally take at once: 1 or 4.
override FOURS: u32 = 4u;

// Invocations per workgroup of sift, tally and sum.
override WIDTH: u32 = 64u;

// Invocations per workgroup, and codes each of them looks at.
const THREADS: u32 = 256u;
const PER_THREAD: u32 = 16u;

@group(0) @binding(0) var<uniform> pass_: Pass;
@group(0) @binding(1) var<storage, read> codes: array<u32>;
@group(0) @binding(2) var<storage, read> queries: array<u32>;

// A bit for each code of the database: whether it counts. Bound, but not read, when all do.
@group(0) @binding(7) var<storage, read> allowed: array<u32>;

// Hamming distance of code `code` of the segment and query `query` of the batch.
fn distance_of(code: u32, query: u32) -> u32 {
    var sum = 0u;
    for (var w = 0u; w < WORDS; w++) {
        sum += countOneBits(codes[code * WORDS + w] ^ queries[query * WORDS + w]);
    }
    return sum;
}

// As distance_of, or a distance that does not count for a code that does not.
fn counted_distance(code: u32, query: u32) -> u32 {
    if pass_.filtered != 0u {
        let id = pass_.first_id + code;
        if (allowed[id / 32u] >> (id % 32u) & 1u) == 0u {
            return 0xffffffffu;
        }
    }
    return distance_of(code, query);
}
