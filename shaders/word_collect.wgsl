// Collects each query's k smallest (key, id) pairs, in no particular order.
//
// Bindings: 0 the pass; 3 keys [query][code]; 4 states [query], as in word_cut.wgsl; 5 found
// [query]; 6 hits [query][k] = (key, id).
// Reads 4 bytes per code and query, writes 8 bytes per hit.

@group(0) @binding(3) var<storage, read> keys: array<u32>;
@group(0) @binding(4) var<storage, read> states: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> found: array<atomic<u32>>;
@group(0) @binding(6) var<storage, read_write> hits: array<vec2<u32>>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let block = group.x + group.y * groups.x;
    let query = group.z;
    let cut = states[query];
    for (var i = 0u; i < PER_THREAD; i++) {
        let code = (block * PER_THREAD + i) * THREADS + thread;
        if block >= pass_.segment_blocks || code >= pass_.codes {
            break;
        }
        let key = keys[query * pass_.codes + code];
        if key != 0xffffffffu && (key < cut.x || (key == cut.x && code <= cut.y)) {
            let slot = atomicAdd(&found[query], 1u);
            if slot < pass_.k {
                hits[query * pass_.k + slot] = vec2<u32>(key, pass_.first_id + code);
            }
        }
    }
}
