"""The product's own images, built from its own Dockerfiles, for the bench's real node.

No registry of images is needed: the base is bootstrapped from Debian's packages, and wheels are fetched outside
the build and mounted into it, so that what is tested is the Dockerfile and not the network.
"""

from e2e.images.build import Image, build_image

__all__ = ["Image", "build_image"]
