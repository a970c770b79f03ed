"""The Segment Editor effect. Slicer loads SegmentEditorEffect.py itself, under this folder's name."""
