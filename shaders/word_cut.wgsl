// Adds a digit to the k-th smallest (key, id) pair of each query, and clears the counters.
//
// Bindings: 0 the pass; 3 digits [query][2048]; 4 states [query] = (key, id, wanted, done): the
// digits known so far of the k-th smallest pair, its rank among the pairs that agree with them,
// and whether all of those are wanted. Then key and id are the greatest wanted ones.
// One workgroup per query. Reads and writes 8 KiB per query.

@group(0) @binding(3) var<storage, read_write> digits: array<u32>;
@group(0) @binding(4) var<storage, read_write> states: array<vec4<u32>>;

const DIGITS: u32 = 2048u;
const EACH: u32 = DIGITS / THREADS;

var<workgroup> sums: array<u32, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let query = group.x;
    let first = query * DIGITS + thread * EACH;
    var state = states[query];
    var sum = 0u;
    for (var i = 0u; i < EACH; i++) {
        sum += digits[first + i];
    }
    sums[thread] = sum;
    // The state is read by all before one invocation writes it.
    storageBarrier();
    workgroupBarrier();
    var before = 0u;
    for (var other = 0u; other < thread; other++) {
        before += sums[other];
    }
    if state.w == 0u && before < state.z && state.z <= before + sum {
        var wanted = state.z - before;
        var at = 0u;
        while digits[first + at] < wanted {
            wanted -= digits[first + at];
            at += 1u;
        }
        let done = digits[first + at] == wanted;
        var value = (thread * EACH + at) << pass_.shift;
        if done {
            value |= (1u << pass_.shift) - 1u;
        }
        if pass_.part != 0u {
            state.y |= value;
        } else {
            state.x |= value;
            state.y = select(0u, 0xffffffffu, done);
        }
        state.z = wanted;
        state.w = u32(done);
        states[query] = state;
    }
    for (var i = 0u; i < EACH; i++) {
        digits[first + i] = 0u;
    }
}
