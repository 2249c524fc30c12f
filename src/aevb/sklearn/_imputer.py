"""Imputation of the missing cells of a table."""

from __future__ import annotations
