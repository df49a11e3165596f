// Finds the codes within each query's bound, in no particular order.
//
// Bindings: 0, 1 and 7 as in common.wgsl; 8 queries in groups of sixteen: word w of queries
// 16g to 16g + 15 are the four vectors from 4·(g·WORDS + w) on; 3 cuts [query] = (bound, …);
// 4 found [query], the number of candidates; 5 candidates [query][room] = (distance, id).
// An invocation processes 32 codes and sixteen queries, or four (FOURS = 1). Reads each code
// once per sixteen queries (4·WORDS/16 bytes per code and query), and writes 8 bytes per
// candidate.

@group(0) @binding(8) var<uniform> sixteens: array<vec4<u32>, 4096>;
@group(0) @binding(3) var<storage, read> cuts: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> found: array<atomic<u32>>;
@group(0) @binding(5) var<storage, read_write> candidates: array<vec2<u32>>;

// Writes the codes in `mask`; bit i is code `first` + WIDTH·i.
fn report(query: u32, mask: u32, first: u32) {
    if mask == 0u || query >= pass_.queries {
        return;
    }
    var slot = atomicAdd(&found[query], countOneBits(mask));
    var left = mask;
    while left != 0u {
        let i = firstTrailingBit(left);
        left &= left - 1u;
        // Candidates that do not fit are counted too, so that the host detects the overflow.
        if slot < pass_.room {
            let code = first + i * WIDTH;
            var distance = 0u;
            for (var w = 0u; w < WORDS; w++) {
                let word = sixteens[((query / 16u) * WORDS + w) * 4u + query % 16u / 4u][query % 4u];
                distance += countOneBits(codes[code * WORDS + w] ^ word);
            }
            candidates[query * pass_.room + slot] = vec2<u32>(distance, pass_.first_id + code);
        }
        slot += 1u;
    }
}

// The bounds of four queries. `report` ignores queries past the end.
fn bounds(query: u32) -> vec4<u32> {
    let last = pass_.queries - 1u;
    return vec4<u32>(
        cuts[min(query, last)].x,
        cuts[min(query + 1u, last)].x,
        cuts[min(query + 2u, last)].x,
        cuts[min(query + 3u, last)].x,
    );
}

fn report_four(query: u32, masks: vec4<u32>, first: u32) {
    report(query, masks.x, first);
    report(query + 1u, masks.y, first);
    report(query + 2u, masks.z, first);
    report(query + 3u, masks.w, first);
}

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let first = (group.x + group.y * groups.x) * WIDTH * 32u + thread;
    if first >= pass_.codes {
        return;
    }
    let base = group.z * WORDS * 4u;
    let query = group.z * 16u;
    let b0 = bounds(query);
    let b1 = bounds(query + 4u);
    let b2 = bounds(query + 8u);
    let b3 = bounds(query + 12u);
    var m0 = vec4<u32>(0u);
    var m1 = vec4<u32>(0u);
    var m2 = vec4<u32>(0u);
    var m3 = vec4<u32>(0u);
    var counts = 0u;
    for (var i = 0u; i < 32u; i++) {
        let code = first + i * WIDTH;
        let at = min(code, pass_.codes - 1u) * WORDS;
        var d0 = vec4<u32>(0u);
        var d1 = vec4<u32>(0u);
        var d2 = vec4<u32>(0u);
        var d3 = vec4<u32>(0u);
        for (var w = 0u; w < WORDS; w++) {
            let word = vec4<u32>(codes[at + w]);
            let four = base + w * 4u;
            d0 += countOneBits(word ^ sixteens[four]);
            if FOURS > 1u {
                d1 += countOneBits(word ^ sixteens[four + 1u]);
                d2 += countOneBits(word ^ sixteens[four + 2u]);
                d3 += countOneBits(word ^ sixteens[four + 3u]);
            }
        }
        let bit = vec4<u32>(1u << i);
        m0 |= select(vec4<u32>(0u), bit, d0 <= b0);
        if FOURS > 1u {
            m1 |= select(vec4<u32>(0u), bit, d1 <= b1);
            m2 |= select(vec4<u32>(0u), bit, d2 <= b2);
            m3 |= select(vec4<u32>(0u), bit, d3 <= b3);
        }
        counts |= u32(code < pass_.codes) << i;
    }
    if pass_.filtered != 0u {
        for (var i = 0u; i < 32u; i++) {
            let id = pass_.first_id + min(first + i * WIDTH, pass_.codes - 1u);
            counts &= ~((1u - (allowed[id / 32u] >> (id % 32u) & 1u)) << i);
        }
    }
    report_four(query, m0 & vec4<u32>(counts), first);
    if FOURS > 1u {
        report_four(query + 4u, m1 & vec4<u32>(counts), first);
        report_four(query + 8u, m2 & vec4<u32>(counts), first);
        report_four(query + 12u, m3 & vec4<u32>(counts), first);
    }
}
