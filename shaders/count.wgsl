// Counts the codes of each block that are nearer than a query's cut, and those at the cut.
//
// Bindings: 0-2 as in common.wgsl; 3 cuts [query]; 4 counts [query][block] = (nearer, at the
// cut).
// Reads each code once per query (4·WORDS bytes, plus a bit if codes are filtered), writes 8
// bytes per block and query.

@group(0) @binding(3) var<storage, read> cuts: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> counts: array<vec2<u32>>;

var<workgroup> nearer: atomic<u32>;
var<workgroup> level: atomic<u32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let block = group.x + group.y * groups.x;
    let query = group.z;
    let cut = cuts[query].x;
    var mine = vec2<u32>(0u, 0u);
    if block < pass_.segment_blocks {
        for (var i = 0u; i < PER_THREAD; i++) {
            let code = (block * PER_THREAD + i) * THREADS + thread;
            if code < pass_.codes {
                let distance = counted_distance(code, query);
                mine += vec2<u32>(u32(distance < cut), u32(distance == cut));
            }
        }
    }
    if mine.x != 0u {
        atomicAdd(&nearer, mine.x);
    }
    if mine.y != 0u {
        atomicAdd(&level, mine.y);
    }
    workgroupBarrier();
    if thread == 0u && block < pass_.segment_blocks {
        let slot = query * pass_.blocks + pass_.first_block + block;
        counts[slot] = vec2<u32>(atomicLoad(&nearer), atomicLoad(&level));
    }
}
