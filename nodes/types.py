"""The pack's own socket types."""

from comfy_api.latest import io

Experts = io.Custom("EMOE_EXPERTS")
ReportType = io.Custom("EMOE_REPORT")
CalibrationType = io.Custom("EMOE_CALIBRATION")
AuditType = io.Custom("EMOE_AUDIT")
