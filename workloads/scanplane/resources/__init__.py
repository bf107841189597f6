"""The custom resources: one typed model per kind, from which schemas, CRDs and validation are made.

Pure. The structs say what a document may hold and nothing of what is missing: a field that is left out is None here,
and :mod:`scanplane.plan` decides what that means, so that no default is ever written back into a user's resource.
"""
