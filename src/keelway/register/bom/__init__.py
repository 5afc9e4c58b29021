"""Bills of materials in CycloneDX: what a model version is made of."""

from keelway.register.bom.make import bill_of
from keelway.register.bom.records import BillOfMaterials, PackageList
from keelway.register.bom.store import BillDraft, bill_evidence, bill_now, draft_bill, package_list, record_bill

__all__ = [
    "BillDraft",
    "BillOfMaterials",
    "PackageList",
    "bill_evidence",
    "bill_now",
    "bill_of",
    "draft_bill",
    "package_list",
    "record_bill",
]
