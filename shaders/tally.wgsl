// Sums the distances of all codes to sixteen queries, in the same steps as sift.wgsl. This is
// the minimum work of sift.wgsl, used to measure a lower bound on the time of a search.
//
// Bindings: 0 and 1 as in common.wgsl; 8 queries as in sift.wgsl; 3 sums [group of
// sixteen][invocation], one vector each.
// Reads each code once per sixteen queries (4·WORDS/16 bytes per code and query); writes 16
// bytes per 32 codes and sixteen queries.

@group(0) @binding(8) var<uniform> sixteens: array<vec4<u32>, 4096>;
@group(0) @binding(3) var<storage, read_write> sums: array<vec4<u32>>;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let block = group.x + group.y * groups.x;
    let first = block * WIDTH * 32u + thread;
    if first >= pass_.codes {
        return;
    }
    let base = group.z * WORDS * 4u;
    var d0 = vec4<u32>(0u);
    var d1 = vec4<u32>(0u);
    var d2 = vec4<u32>(0u);
    var d3 = vec4<u32>(0u);
    for (var i = 0u; i < 32u; i++) {
        let code = first + i * WIDTH;
        // Codes past the end contribute 0.
        let real = vec4<u32>(select(0u, 0xffffffffu, code < pass_.codes));
        let at = min(code, pass_.codes - 1u) * WORDS;
        for (var w = 0u; w < WORDS; w++) {
            let word = vec4<u32>(codes[at + w]);
            let four = base + w * 4u;
            d0 += countOneBits((word ^ sixteens[four]) & real);
            if FOURS > 1u {
                d1 += countOneBits((word ^ sixteens[four + 1u]) & real);
                d2 += countOneBits((word ^ sixteens[four + 2u]) & real);
                d3 += countOneBits((word ^ sixteens[four + 3u]) & real);
            }
        }
    }
    let blocks = (pass_.codes + WIDTH * 32u - 1u) / (WIDTH * 32u);
    sums[(group.z * blocks + block) * WIDTH + thread] = d0 + d1 + d2 + d3;
}
