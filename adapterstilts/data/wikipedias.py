"""The codes of Wikipedia's languages, which raw WikiANN files put before each token."""

from __future__ import annotations

from adapterstilts.tasks.plain_text import LANGUAGES

# Those that are not ISO 639-1 codes.
LONGER = (
    "ace als ang arc arz ast azb bar bat-smg bcl be-tarask be-x-old bjn bpy bug bxr cbk-zam cdo ceb chr chy "
    "ckb crh csb diq dsb eml ext fiu-vro frp frr fur gag gan glk gom got hak haw hif hsb ilo jbo kaa kab kbd "
    "koi krc ksh lad lbe lez lij lmo lrc ltg mai map-bms mdf mhr min mrj mwl myv mzn nah nap nds nds-nl new "
    "nov nrm nso pag pam pap pcd pdc pfl pih pms pnb pnt rmy roa-rup roa-tara rue sah scn sco sh simple srn "
    "stq szl tet tpi tum tyv udm vec vep vls war wuu xal xmf zea zh-classical zh-min-nan zh-yue"
).split()

CODES: frozenset[str] = frozenset((*LANGUAGES, *LONGER))
