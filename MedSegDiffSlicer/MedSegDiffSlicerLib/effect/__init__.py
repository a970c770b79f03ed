"""The Segment Editor effect: its controller, session and widgets."""
