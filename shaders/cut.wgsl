// Computes each query's cut: the distance of its k-th nearest code (or the largest allowed
// distance if there are fewer codes), the number of strictly nearer codes, and the total
// number of hits.
//
// Bindings: 0 the pass; 3 histograms [query][level]; 4 cuts [query] = (distance, nearer,
// found, 0).
// Reads 4·levels bytes and writes 16 per query; one invocation per query.

@group(0) @binding(3) var<storage, read> histograms: array<u32>;
@group(0) @binding(4) var<storage, read_write> cuts: array<vec4<u32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let query = id.x;
    if query >= pass_.queries {
        return;
    }
    var nearer = 0u;
    var level = 0u;
    while level + 1u < pass_.levels {
        let count = histograms[query * pass_.levels + level];
        // `nearer + count` could overflow.
        if count >= pass_.k - nearer {
            break;
        }
        nearer += count;
        level += 1u;
    }
    let at_cut = min(histograms[query * pass_.levels + level], pass_.k - nearer);
    cuts[query] = vec4<u32>(level, nearer, nearer + at_cut, 0u);
}
