// Selects the k nearest of each query's candidates, in no particular order.
//
// Bindings: 0 the pass; 3 found [query]; 4 candidates [query][room] = (distance, id);
// 5 hits [query][k] = (distance, id); 6 cuts [query] = (distance, nearer, found, 0), as in
// cut.wgsl.
// One workgroup per query. Reads 8 bytes per candidate seven times, writes 8 bytes per hit.
// Of the candidates at the last distance, those with the smallest ids are selected: a radix
// select, highest byte first, finds the greatest selected id.

@group(0) @binding(3) var<storage, read> found: array<u32>;
@group(0) @binding(4) var<storage, read> candidates: array<vec2<u32>>;
@group(0) @binding(5) var<storage, read_write> hits: array<vec2<u32>>;
@group(0) @binding(6) var<storage, read_write> cuts: array<vec4<u32>>;

var<workgroup> local: array<atomic<u32>, 1025>;
var<workgroup> slots: atomic<u32>;
// The last distance, the number of candidates still to select at it, and the upper bits known
// so far of the greatest selected id.
var<workgroup> last: u32;
var<workgroup> wanted: u32;
var<workgroup> prefix: u32;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let query = group.x;
    let count = min(found[query], pass_.room);
    let first = query * pass_.room;
    for (var level = thread; level < pass_.levels; level += THREADS) {
        atomicStore(&local[level], 0u);
    }
    workgroupBarrier();
    for (var i = thread; i < count; i += THREADS) {
        atomicAdd(&local[candidates[first + i].x], 1u);
    }
    workgroupBarrier();
    if thread == 0u {
        var nearer = 0u;
        var level = 0u;
        while level + 1u < pass_.levels {
            let here = atomicLoad(&local[level]);
            if here >= pass_.k - nearer {
                break;
            }
            nearer += here;
            level += 1u;
        }
        last = level;
        wanted = min(atomicLoad(&local[level]), pass_.k - nearer);
        prefix = 0u;
        cuts[query] = vec4<u32>(level, nearer, nearer + wanted, 0u);
    }
    workgroupBarrier();
    let level = last;
    var known = 0u;
    for (var byte = 0u; byte < 4u; byte++) {
        let shift = 24u - byte * 8u;
        atomicStore(&local[thread], 0u);
        workgroupBarrier();
        for (var i = thread; i < count; i += THREADS) {
            let candidate = candidates[first + i];
            if candidate.x == level && (candidate.y & known) == prefix {
                atomicAdd(&local[candidate.y >> shift & 255u], 1u);
            }
        }
        workgroupBarrier();
        if thread == 0u {
            var bin = 0u;
            while bin < 255u {
                let here = atomicLoad(&local[bin]);
                if here >= wanted {
                    break;
                }
                wanted -= here;
                bin += 1u;
            }
            prefix |= bin << shift;
        }
        workgroupBarrier();
        known |= 255u << shift;
    }
    for (var i = thread; i < count; i += THREADS) {
        let candidate = candidates[first + i];
        if candidate.x < level || (candidate.x == level && candidate.y <= prefix) {
            let slot = atomicAdd(&slots, 1u);
            if slot < pass_.k {
                hits[query * pass_.k + slot] = candidate;
            }
        }
    }
}
