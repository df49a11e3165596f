// Counts the codes of a segment at each distance from each query.
//
// Bindings: 0-2 as in common.wgsl; 3 histograms [query][level], added to.
// Reads each code once per query (4·WORDS bytes, plus a bit if codes are filtered); writes
// `levels` counters per workgroup, which is 1/4096 counter per code, level and query. No
// distances are written. Limits: 1024 bits, 2³²−1 codes.

@group(0) @binding(3) var<storage, read_write> histograms: array<atomic<u32>>;

var<workgroup> local: array<atomic<u32>, 1025>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let block = group.x + group.y * groups.x;
    let query = group.z;
    for (var level = thread; level < pass_.levels; level += THREADS) {
        atomicStore(&local[level], 0u);
    }
    workgroupBarrier();
    if block < pass_.segment_blocks {
        for (var i = 0u; i < PER_THREAD; i++) {
            let code = (block * PER_THREAD + i) * THREADS + thread;
            if code < pass_.codes {
                let distance = counted_distance(code, query);
                if distance < pass_.levels {
                    atomicAdd(&local[distance], 1u);
                }
            }
        }
    }
    workgroupBarrier();
    for (var level = thread; level < pass_.levels; level += THREADS) {
        let count = atomicLoad(&local[level]);
        if count != 0u {
            atomicAdd(&histograms[query * pass_.levels + level], count);
        }
    }
}
