// Sums all words of the codes, modulo 2³². This is the minimum that a search for a single
// query must read, used to measure a lower bound on its time.
//
// Bindings: 0 and 1 as in common.wgsl; 3 sums [invocation].
// Reads every code once (4·WORDS bytes per code). An invocation reads 32·WORDS words, coalesced
// with those of its neighbours, and writes 4 bytes.

@group(0) @binding(3) var<storage, read_write> sums: array<u32>;

@compute @workgroup_size(WIDTH)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let block = group.x + group.y * groups.x;
    let words = pass_.codes * WORDS;
    let first = block * WIDTH * WORDS * 32u + thread;
    if first >= words {
        return;
    }
    var sum = 0u;
    for (var i = 0u; i < WORDS * 32u; i++) {
        let at = first + i * WIDTH;
        sum += select(0u, codes[min(at, words - 1u)], at < words);
    }
    sums[block * WIDTH + thread] = sum;
}
