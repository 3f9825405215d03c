"""The methods of the class activation maps, and how they are called for people."""

CAMS = {
    "cam": "CAM",
    "gradcam": "Grad-CAM",
    "gradcam_pp": "Grad-CAM++",
    "smooth_gradcam_pp": "Smooth Grad-CAM++",
    "xgradcam": "XGrad-CAM",
    "layercam": "LayerCAM",
    "scorecam": "Score-CAM",
    "grabcut": "Saliency and GrabCut",
    "glands": "Glands by stain and shape",
}
