/*!
The published forms of transformers. Each is brought to the names of DINOv2's authors, and from there
to ours.
*/

use super::found::{DINOV3, Found};
use super::tensors::{Tensors, floats, single, transposed};
use crate::cause::Cause;
use crate::trunk::kind::{Design, TrunkKind};
use crate::trunk::vit::{BLOCKS, Positions, STEM_BLOCKS, Shape};

/// Recognises a transformer and brings its tensors to the names of DINOv2's authors; `None` if it is
/// another network.
pub(super) fn recognise(tensors: &mut Tensors) -> Option<Result<Found, Cause>> {
    let clip = tensors.has("visual.class_embedding")
        || tensors.has("vision_model.embeddings.class_embedding");
    let class = [
        "cls_token",
        "embeddings.cls_token",
        "vit.embeddings.cls_token",
        "dinov2.embeddings.cls_token",
    ];
    if !clip && !class.iter().any(|name| tensors.has(name)) {
        return None;
    }
    Some(usual(tensors).and_then(|()| kind_of(tensors)))
}

/// Brings tensors to the names of DINOv2's authors.
fn usual(tensors: &mut Tensors) -> Result<(), Cause> {
    if tensors.has("visual.class_embedding") {
        openai(tensors);
    } else if tensors.has("vision_model.embeddings.class_embedding") {
        transformers_clip(tensors);
    } else {
        tensors.rename_first(&[("vit.", ""), ("dinov2.", "")]);
        transformers(tensors);
    }
    tensors.rename(&[
        ("reg_token", "register_tokens"),
        ("storage_tokens", "register_tokens"),
        (".gamma_1", ".ls1.gamma"),
        (".gamma_2", ".ls2.gamma"),
    ]);
    tensors.drop(|name| {
        name == "mask_token" || name.starts_with("rope") || name.ends_with("position_ids")
    });
    for block in 0..tensors.count("blocks.") {
        for (what, optional) in [("weight", false), ("bias", true)] {
            let part = |part: &str| format!("blocks.{block}.attn.{part}.{what}");
            let (q, k, v) = (part("q"), part("k"), part("v"));
            tensors.join([&q, &k, &v], &part("qkv"), optional)?;
        }
        unmask(tensors, block);
    }
    projection(tensors)
}

/// OpenAI's and OpenCLIP's files: the image tower of a larger network.
fn openai(tensors: &mut Tensors) {
    tensors.drop(|name| !name.starts_with("visual."));
    tensors.rename_first(&[
        ("visual.class_embedding", "cls_token"),
        ("visual.positional_embedding", "pos_embed"),
        ("visual.conv1.", "patch_embed.proj."),
        ("visual.ln_pre.", "norm_pre."),
        ("visual.ln_post.", "norm."),
        ("visual.transformer.resblocks.", "blocks."),
        ("visual.", ""),
    ]);
    tensors.rename(&[
        (".ln_1.", ".norm1."),
        (".ln_2.", ".norm2."),
        (".attn.in_proj_", ".attn.qkv."),
        (".attn.out_proj.", ".attn.proj."),
        (".mlp.c_fc.", ".mlp.fc1."),
        (".mlp.c_proj.", ".mlp.fc2."),
    ]);
    if let Some(matrix) = tensors.take("proj") {
        let mut matrix = transposed(matrix);
        matrix.name = "projection.weight".to_owned();
        tensors.push(matrix);
    }
}

/// CLIP in the form of the library transformers.
fn transformers_clip(tensors: &mut Tensors) {
    tensors
        .drop(|name| !name.starts_with("vision_model.") && !name.starts_with("visual_projection."));
    tensors.rename_first(&[
        ("visual_projection.", "projection."),
        ("vision_model.embeddings.class_embedding", "cls_token"),
        ("vision_model.embeddings.position_embedding.weight", "pos_embed"),
        ("vision_model.embeddings.patch_embedding.", "patch_embed.proj."),
        // The library's own spelling.
        ("vision_model.pre_layrnorm.", "norm_pre."),
        ("vision_model.post_layernorm.", "norm."),
        ("vision_model.encoder.layers.", "blocks."),
        ("vision_model.", ""),
    ]);
    tensors.rename(&[
        (".layer_norm1.", ".norm1."),
        (".layer_norm2.", ".norm2."),
        (".self_attn.q_proj.", ".attn.q."),
        (".self_attn.k_proj.", ".attn.k."),
        (".self_attn.v_proj.", ".attn.v."),
        (".self_attn.out_proj.", ".attn.proj."),
    ]);
}

/// Plain transformers, DINOv2 and DINOv3 in the form of the library transformers; other forms stay.
fn transformers(tensors: &mut Tensors) {
    tensors.rename_first(&[
        ("embeddings.cls_token", "cls_token"),
        ("embeddings.mask_token", "mask_token"),
        ("embeddings.register_tokens", "register_tokens"),
        ("embeddings.position_embeddings", "pos_embed"),
        ("embeddings.patch_embeddings.projection.", "patch_embed.proj."),
        ("embeddings.patch_embeddings.", "patch_embed.proj."),
        ("encoder.layer.", "blocks."),
        ("layer.", "blocks."),
        ("layernorm.", "norm."),
    ]);
    tensors.rename(&[
        (".attention.attention.query.", ".attn.q."),
        (".attention.attention.key.", ".attn.k."),
        (".attention.attention.value.", ".attn.v."),
        (".attention.output.dense.", ".attn.proj."),
        (".attention.q_proj.", ".attn.q."),
        (".attention.k_proj.", ".attn.k."),
        (".attention.v_proj.", ".attn.v."),
        (".attention.o_proj.", ".attn.proj."),
        (".layernorm_before.", ".norm1."),
        (".layernorm_after.", ".norm2."),
        (".intermediate.dense.", ".mlp.fc1."),
        (".output.dense.", ".mlp.fc2."),
        (".mlp.up_proj.", ".mlp.fc1."),
        (".mlp.down_proj.", ".mlp.fc2."),
        (".layer_scale1.lambda1", ".ls1.gamma"),
        (".layer_scale2.lambda1", ".ls2.gamma"),
    ]);
}

/// DINOv3's attention has no bias of keys: its files mask that part out. Without any bias, all of it
/// is 0.
fn unmask(tensors: &mut Tensors, block: usize) {
    let name = |what: &str| format!("blocks.{block}.attn.qkv.{what}");
    let masked = tensors.take(&name("bias_mask")).is_some();
    let rows = tensors.shape(&name("weight")).first().copied().unwrap_or(0);
    match tensors.take(&name("bias")) {
        None if rows > 0 => tensors.push(single(&name("bias"), vec![rows], &vec![0.0; rows])),
        Some(bias) if masked => {
            let mut values = floats(&bias);
            let third = values.len() / 3;
            values.iter_mut().skip(third).take(third).for_each(|value| *value = 0.0);
            tensors.push(single(&name("bias"), vec![values.len()], &values));
        }
        Some(bias) => tensors.push(bias),
        None => {}
    }
}

/// Drops classifiers. timm keeps CLIP's projection as one, with a bias of zeros.
fn projection(tensors: &mut Tensors) -> Result<(), Cause> {
    let clip = tensors.has("norm_pre.weight");
    if clip && let Some(mut head) = tensors.take("head.weight") {
        let bias = tensors.take("head.bias").map(|bias| floats(&bias)).unwrap_or_default();
        if bias.iter().any(|value| *value != 0.0) {
            return Err("it is a CLIP that was trained on to tell classes, without CLIP's \
                        projection; import the CLIP that it was made of"
                .into());
        }
        head.name = "projection.weight".to_owned();
        tensors.push(head);
    }
    tensors.drop(|name| {
        ["head.", "head_dist.", "classifier.", "pooler.", "fc_norm.", "text_projection"]
            .iter()
            .any(|first| name.starts_with(first))
    });
    Ok(())
}

/// Tells the kind by shapes.
fn kind_of(tensors: &Tensors) -> Result<Found, Cause> {
    let patches = tensors.shape("patch_embed.proj.weight");
    let (width, patch) = match patches {
        [width, 3, patch, _] => (*width, *patch),
        _ => return Err("its patches are not those of colour images".into()),
    };
    let blocks = tensors.count("blocks.");
    let registers = match tensors.shape("register_tokens") {
        [.., count, _] => *count,
        _ => 0,
    };
    let rotary = !tensors.has("pos_embed");
    let described = format!(
        "a transformer with {blocks} blocks of {width} channels, patches of {patch} pixels and \
         {registers} registers"
    );
    if tensors.any(".mlp.w12.") || tensors.any(".mlp.w1.") || tensors.any(".gate_proj.") {
        return Err(format!(
            "it is {described} and gated layers, which are not supported; {}",
            nearest(width, patch)
        )
        .into());
    }
    let fits = |kind: &TrunkKind| match kind.design() {
        Design::Vit(shape) => {
            blocks == BLOCKS
                && (shape.width, shape.patch, shape.registers) == (width, patch, registers)
                && (shape.positions == Positions::Rotary) == rotary
                && shape.entry_norm == tensors.has("norm_pre.weight")
                && shape.scales == tensors.has("blocks.0.ls1.gamma")
                && shape.projection.is_some() == tensors.has("projection.weight")
        }
        _ => false,
    };
    let kinds: Vec<TrunkKind> = TrunkKind::ALL.into_iter().filter(fits).collect();
    match kinds[..] {
        [] => {
            Err(format!("it is {described}, which is not supported; {}", nearest(width, patch))
                .into())
        }
        [TrunkKind::DinoV3S16] => {
            Ok(Found { licence: Some(DINOV3.to_owned()), ..Found::of(kinds[0]) })
        }
        [kind] => Ok(Found::of(kind)),
        // The activation cannot be told from tensors.
        _ => Ok(Found { kinds, ..Found::of(TrunkKind::ClipB32) }),
    }
}

/// Names the supported transformer that is most like one with this width and these patches.
fn nearest(width: usize, patch: usize) -> String {
    let off = |kind: &TrunkKind| match kind.design() {
        Design::Vit(shape) => shape.width.abs_diff(width) + shape.patch.abs_diff(patch),
        _ => usize::MAX,
    };
    let nearest = TrunkKind::ALL.into_iter().min_by_key(off);
    nearest.map_or_else(String::new, |kind| format!("the nearest is {kind}"))
}

/// Gives the tensors our names.
///
/// # Errors
/// If positions do not fit `shape`.
pub(super) fn rename(tensors: &mut Tensors, shape: Shape) -> Result<(), Cause> {
    positions(tensors, shape)?;
    tensors.reshape(|name| name == "cls_token" || name == "register_tokens", 2);
    if let Some(class) = tensors.take("cls_token") {
        let rows = vec![1, class.shape.iter().product()];
        tensors.push(crate::trunk::pytorch::Stored { shape: rows, ..class });
    }
    tensors.rename_first(&[
        ("cls_token", "stem.class"),
        ("register_tokens", "stem.registers"),
        ("pos_embed", "stem.positions"),
        ("patch_embed.proj.", "stem.patches."),
        ("norm_pre.", "stem.norm."),
        ("norm.", "refine.norm."),
        ("projection.", "refine.projection."),
    ]);
    for block in 0..BLOCKS {
        let ours = match block {
            0..STEM_BLOCKS => format!("stem.blocks.{block}."),
            _ => format!("refine.blocks.{}.", block - STEM_BLOCKS),
        };
        tensors.rename_first(&[(&format!("blocks.{block}."), &ours)]);
    }
    tensors.rename(&[
        (".attn.qkv.", ".qkv."),
        (".attn.proj.", ".project."),
        (".mlp.fc1.", ".widen."),
        (".mlp.fc2.", ".narrow."),
        (".ls1.gamma", ".scale1"),
        (".ls2.gamma", ".scale2"),
    ]);
    Ok(())
}

/// Makes sure that positions are those of the class token and of the shape's grid. timm adds the
/// class token's own to the token if there are registers.
fn positions(tensors: &mut Tensors, shape: Shape) -> Result<(), Cause> {
    let Positions::Learned(grid) = shape.positions else { return Ok(()) };
    tensors.reshape(|name| name == "pos_embed", 2);
    let [rows, width] = *tensors.shape("pos_embed") else {
        return Err("missing tensor pos_embed".into());
    };
    let whole = 1 + grid * grid;
    if rows + 1 == whole
        && let Some(mut positions) = tensors.take("pos_embed")
    {
        let row = positions.data.len() / rows.max(1);
        positions.data.splice(..0, std::iter::repeat_n(0, row));
        positions.shape = vec![whole, width];
        tensors.push(positions);
    } else if rows != whole {
        let side = rows.saturating_sub(1).isqrt();
        return Err(format!(
            "it was trained on {side}×{side} patches instead of {grid}×{grid}; choose weights for \
             images of {} pixels",
            grid * shape.patch
        )
        .into());
    }
    Ok(())
}
