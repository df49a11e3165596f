// Writes each query's k hits: first the codes nearer than the cut, ordered by id, then codes
// at the cut, ordered by id, until there are k.
//
// Bindings: 0-2 as in common.wgsl; 3 cuts [query]; 4 counts and 5 offsets
// [query][block]; 6 hits [query][k] = (distance, id).
// Reads the codes of those blocks that contain a hit, twice; writes 8 bytes per hit.

@group(0) @binding(3) var<storage, read> cuts: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> counts: array<vec2<u32>>;
@group(0) @binding(5) var<storage, read> offsets: array<vec2<u32>>;
@group(0) @binding(6) var<storage, read_write> hits: array<vec2<u32>>;

var<workgroup> sums: array<vec2<u32>, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let block = group.x + group.y * groups.x;
    let query = group.z;
    let cut = cuts[query];
    let slot = query * pass_.blocks + pass_.first_block + min(block, pass_.segment_blocks - 1u);
    let offset = offsets[slot];
    let count = counts[slot];
    // Skip blocks whose only hits are at the cut and no longer fit into the k.
    let wanted = block < pass_.segment_blocks
        && (count.x != 0u || (count.y != 0u && offset.y < pass_.k - cut.y));
    // A thread processes consecutive codes here, so that hits are ordered by id.
    let begin = (block * THREADS + thread) * PER_THREAD;
    let end = select(begin, min(begin + PER_THREAD, pass_.codes), wanted);
    var mine = vec2<u32>(0u, 0u);
    for (var code = begin; code < end; code++) {
        let distance = counted_distance(code, query);
        mine += vec2<u32>(u32(distance < cut.x), u32(distance == cut.x));
    }
    sums[thread] = mine;
    workgroupBarrier();
    if mine.x == 0u && mine.y == 0u {
        return;
    }
    var place = offset;
    for (var other = 0u; other < thread; other++) {
        place += sums[other];
    }
    for (var code = begin; code < end; code++) {
        let distance = counted_distance(code, query);
        let hit = vec2<u32>(distance, pass_.first_id + code);
        if distance < cut.x {
            hits[query * pass_.k + place.x] = hit;
            place.x += 1u;
        } else if distance == cut.x {
            if place.y < pass_.k - cut.y {
                hits[query * pass_.k + cut.y + place.y] = hit;
            }
            place.y += 1u;
        }
    }
}
