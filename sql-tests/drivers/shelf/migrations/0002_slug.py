"""A column added, filled row by row and constrained; another renamed and converted."""

import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.utils.text import slugify


def name(apps, _editor):
    for book in apps.get_model("shelf", "Book").objects.order_by("id"):
        book.slug, book.mark = slugify(book.title), uuid.uuid4()
        book.save(update_fields=["slug", "mark"])


class Migration(migrations.Migration):
    dependencies = [("shelf", "0001_initial")]
    operations = [
        migrations.AddField("Book", "slug", models.CharField(max_length=50, null=True)),
        migrations.AddField("Book", "mark", models.UUIDField(null=True)),
        migrations.RunPython(name, migrations.RunPython.noop),
        migrations.AlterField("Book", "slug", models.SlugField(unique=True)),
        migrations.AlterField("Book", "mark", models.UUIDField(default=uuid.uuid4, unique=True, editable=False)),
        migrations.RenameField("Book", "pages", "page_count"),
        migrations.AlterField("Book", "page_count", models.BigIntegerField(default=0)),
        migrations.AlterField("Book", "title", models.CharField(max_length=120, db_index=True)),
        migrations.AddField("Book", "price", models.DecimalField(max_digits=6, decimal_places=2, default="9.90")),
        migrations.AddField("Book", "data", models.JSONField(default=dict)),
        migrations.AddField(
            "Book",
            "owner",
            models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=django.db.models.deletion.SET_NULL),
        ),
    ]
