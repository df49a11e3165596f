// Counts one digit of the (key, id) pairs that agree with the digits known so far of the k-th
// smallest pair: a step of a radix select.
//
// Bindings: 0 the pass (`levels` is the number of values of the digit, at most 2048); 3 keys
// [query][code]; 4 states [query] = (key, id, wanted, done), as in word_cut.wgsl; 5 digits
// [query][2048], added to.
// Reads 4 bytes per code and query; writes `levels` counters per workgroup of 4096 codes. Does
// nothing for queries that are done.

@group(0) @binding(3) var<storage, read> keys: array<u32>;
@group(0) @binding(4) var<storage, read> states: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> digits: array<atomic<u32>>;

const DIGITS: u32 = 2048u;

var<workgroup> local: array<atomic<u32>, DIGITS>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let block = group.x + group.y * groups.x;
    let query = group.z;
    let state = states[query];
    for (var level = thread; level < pass_.levels; level += THREADS) {
        atomicStore(&local[level], 0u);
    }
    workgroupBarrier();
    if block < pass_.segment_blocks && state.w == 0u {
        for (var i = 0u; i < PER_THREAD; i++) {
            let code = (block * PER_THREAD + i) * THREADS + thread;
            if code < pass_.codes {
                let key = keys[query * pass_.codes + code];
                var value = key;
                var agrees = (key & pass_.known) == state.x && key != 0xffffffffu;
                if pass_.part != 0u {
                    value = code;
                    agrees = key == state.x && (code & pass_.known) == state.y;
                }
                if agrees {
                    atomicAdd(&local[(value >> pass_.shift) & (pass_.levels - 1u)], 1u);
                }
            }
        }
    }
    workgroupBarrier();
    for (var level = thread; level < pass_.levels; level += THREADS) {
        let count = atomicLoad(&local[level]);
        if count != 0u {
            atomicAdd(&digits[query * DIGITS + level], count);
        }
    }
}
