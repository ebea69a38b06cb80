"""What functions and classes are annotated with, on every Python.

From Python 3.14 on an annotation is evaluated when it is asked for. A name that exists only for
type checkers, or comes later in its module, raises NameError then; what is returned here has a
`ForwardRef` in its place, as it has a string where a module says
`from __future__ import annotations`.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

if sys.version_info >= (3, 14):
    import annotationlib

    _FORMAT = annotationlib.Format.FORWARDREF

    def annotations_of(thing: Any) -> dict[str, Any]:
        """Return the annotations of a function or a class, its own ones alone."""
        return annotationlib.get_annotations(thing, format=_FORMAT)

    def annotations_in(namespace: Mapping[str, Any]) -> dict[str, Any]:
        """Return the annotations of a class that is being made of `namespace`."""
        annotate = annotationlib.get_annotate_from_class_namespace(namespace)
        if annotate is None:  # as with `from __future__ import annotations`
            return dict(namespace.get("__annotations__", {}))
        return annotationlib.call_annotate_function(annotate, _FORMAT)

    def signature_of(func: Callable[..., Any]) -> inspect.Signature:
        """Return the signature of a callable, as `inspect.signature` does."""
        return inspect.signature(func, annotation_format=_FORMAT)

else:

    def annotations_of(thing: Any) -> dict[str, Any]:
        """Return the annotations of a function or a class, its own ones alone."""
        return dict(getattr(thing, "__annotations__", None) or {})

    def annotations_in(namespace: Mapping[str, Any]) -> dict[str, Any]:
        """Return the annotations of a class that is being made of `namespace`."""
        return dict(namespace.get("__annotations__", {}))

    signature_of = inspect.signature
