// Exclusive prefix sum over the blocks of each query: the output offsets of each block's hits.
//
// Bindings: 0 the pass; 3 counts [query][block]; 4 offsets [query][block].
// Reads and writes 8 bytes per block and query; one workgroup per query.

@group(0) @binding(3) var<storage, read> counts: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read_write> offsets: array<vec2<u32>>;

var<workgroup> sums: array<vec2<u32>, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let query = group.x;
    let share = (pass_.blocks + THREADS - 1u) / THREADS;
    let begin = min(thread * share, pass_.blocks);
    let end = min(begin + share, pass_.blocks);
    var sum = vec2<u32>(0u, 0u);
    for (var block = begin; block < end; block++) {
        sum += counts[query * pass_.blocks + block];
    }
    sums[thread] = sum;
    workgroupBarrier();
    var before = vec2<u32>(0u, 0u);
    for (var other = 0u; other < thread; other++) {
        before += sums[other];
    }
    for (var block = begin; block < end; block++) {
        offsets[query * pass_.blocks + block] = before;
        before += counts[query * pass_.blocks + block];
    }
}
