"""Write the dashboards: ``python -m deploy.grafana``. The JSON beside this file is never edited."""

from pathlib import Path

from deploy.grafana.dashboards import DASHBOARDS
from deploy.grafana.panels import written

for dashboard in DASHBOARDS:
    (Path(__file__).parent / f"{dashboard.uid}.json").write_text(written(dashboard))
