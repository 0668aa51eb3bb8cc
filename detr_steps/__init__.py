"""DETR in nine steps, from a classic ResNet + FPN, one idea per step.

Read `step0_...` to `step8_...` in their order. Beside them stand `backbone`, which builds the
ResNet of Step 0, `arguments`, the table of what constructors accept, and `inputs`, the checks of
tensors. `reading` and `writing` open and write files with care, `extras` names packages that are
missing. Around them are seven rooms; no step imports them:

    official    the official DETR's weights in Step8
    inference   a trained model made ready, written for other programs, its outputs as detections
    training    scenes and COCO data, batches, trainer, evaluation, checkpoints, the small model
    notebook    what the notebooks show: source, shapes, pictures, explorers; and their runner
    exercises   the checker, the mistakes that it knows, the questions
    pages       a site and slides, made of the executed notebooks
    course      copies for students and teachers, pages, grading

`commands` is the command line over all of them: `python -m detr_steps --help`.

Axis letters, the same in every file:

    B       images in the batch
    H, W    height and width of the images, in pixels
    H', W'  height and width of the feature map, H / 32 and W / 32 rounded up (16 where dilated)
    D       channels of the map, of queries and of tokens (`emb_dim`)
    N, M    queries; objects (of an image, or of the image with the most)
    C       classes, without "no object"
    L       decoder layers
"""

from .official import load_official
from .step0_resnet_fpn import FPN, ResNetFPN, Step0
from .step1_single_feature_map import Step1
from .step2_queries_and_heads import Step2
from .step3_positional_encoding import PositionEmbedding2D, Step3
from .step4_encoder import Step4
from .step5_decoder import Step5
from .step6_auxiliary_outputs import Step6, TransformerDecoderWithIntermediates
from .step7_hungarian_matching import Step7, box_cxcywh_to_xyxy, box_iou, generalized_box_iou
from .step8_set_loss import Step8, giou_loss

__all__ = [
    "FPN",
    "PositionEmbedding2D",
    "ResNetFPN",
    "Step0",
    "Step1",
    "Step2",
    "Step3",
    "Step4",
    "Step5",
    "Step6",
    "Step7",
    "Step8",
    "TransformerDecoderWithIntermediates",
    "box_cxcywh_to_xyxy",
    "box_iou",
    "generalized_box_iou",
    "giou_loss",
    "load_official",
]
