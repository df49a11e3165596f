// Estimates the distance of the k nearest codes from a sample: each invocation finds the
// smallest distance in its share of the sample, and the bound is the k-th smallest of these
// (or the largest allowed distance if there are fewer). Several of the nearest can be in one
// share, so the true k-th smallest distance of the sample may be a little smaller than the
// bound, but is never larger.
//
// Bindings: 0, 1 (the sample), 2 and 7 as in common.wgsl; 3 bounds [query] = (distance, 0, 0,
// 0).
// One workgroup per query. Reads each sampled code once per query (4·WORDS bytes, plus a bit
// if codes are filtered), writes 16 bytes per query.

@group(0) @binding(3) var<storage, read_write> bounds: array<vec4<u32>>;

var<workgroup> nearest: array<u32, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let query = group.x;
    if thread == 0u {
        bounds[query] = vec4<u32>(pass_.levels - 1u, 0u, 0u, 0u);
    }
    var least = 0xffffffffu;
    for (var i = thread * pass_.stride; i < pass_.codes; i += THREADS * pass_.stride) {
        var counts = true;
        if pass_.filtered != 0u {
            let id = i * pass_.apart;
            counts = (allowed[id / 32u] >> (id % 32u) & 1u) != 0u;
        }
        if counts {
            least = min(least, distance_of(i, query));
        }
    }
    nearest[thread] = least;
    workgroupBarrier();
    // Ties go to the earlier invocation.
    var smaller = 0u;
    for (var other = 0u; other < THREADS; other++) {
        let its = nearest[other];
        smaller += u32(its < least || (its == least && other < thread));
    }
    storageBarrier();
    if smaller + 1u == pass_.k && least < pass_.levels {
        bounds[query].x = least;
    }
}
