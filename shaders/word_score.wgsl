// Computes the key of each code: by how much its score falls short of the greatest possible one.
//
// Bindings: 0, 1 (word by word: codes [word][code]), 2 (deficits [query][word index][16]) and 7
// as in common.wgsl; 3 lengths [code] above the least; 4 keys [query][code], all bits set for a
// code that is filtered out.
// Reads each code once per query (4·WORDS + 4 bytes, plus a bit if codes are filtered), writes 4
// bytes per code and query. The deficits of a query are kept in workgroup memory, 512·WORDS bytes.

@group(0) @binding(3) var<storage, read> lengths: array<u32>;
@group(0) @binding(4) var<storage, read_write> keys: array<u32>;

// Deficits of the eight word indices in a word of a code.
const EIGHT: u32 = 128u;

var<workgroup> deficits: array<u32, WORDS * EIGHT>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let block = group.x + group.y * groups.x;
    let query = group.z;
    for (var i = thread; i < WORDS * EIGHT; i += THREADS) {
        deficits[i] = queries[query * WORDS * EIGHT + i];
    }
    workgroupBarrier();
    for (var i = 0u; i < PER_THREAD; i++) {
        let code = (block * PER_THREAD + i) * THREADS + thread;
        if block >= pass_.segment_blocks || code >= pass_.codes {
            break;
        }
        var key = lengths[code];
        for (var w = 0u; w < WORDS; w++) {
            var word = codes[w * pass_.codes + code];
            for (var at = w * EIGHT; at < (w + 1u) * EIGHT; at += 16u) {
                key += deficits[at + (word & 15u)];
                word >>= 4u;
            }
        }
        if pass_.filtered != 0u {
            let id = pass_.first_id + code;
            if (allowed[id / 32u] >> (id % 32u) & 1u) == 0u {
                key = 0xffffffffu;
            }
        }
        keys[query * pass_.codes + code] = key;
    }
}
