"""Types, indexes and constraints over what is there; SQL of one's own."""

from django.db import migrations, models
from django.db.models import F


def double(apps, _editor):
    book = apps.get_model("shelf", "Book")
    book.objects.filter(page_count__gt=0).update(page_count=F("page_count") * 2)
    assert not book.objects.filter(page_count=101).exists()


def halve(apps, _editor):
    apps.get_model("shelf", "Book").objects.update(page_count=F("page_count") / 2)


class Migration(migrations.Migration):
    dependencies = [("shelf", "0003_author")]
    operations = [
        migrations.AlterField("Book", "id", models.BigAutoField(primary_key=True, serialize=False)),
        migrations.RunPython(double, halve),
        migrations.AlterField("Book", "price", models.DecimalField(max_digits=9, decimal_places=2, null=True)),
        migrations.RunSQL(
            "UPDATE shelf_book SET price = NULL WHERE id = 1",
            "UPDATE shelf_book SET price = 1 WHERE price IS NULL",
        ),
        migrations.AddIndex("Book", models.Index(fields=["author", "title"], name="shelf_author_title")),
        migrations.RenameIndex("Book", new_name="shelf_by_author", old_name="shelf_author_title"),
        migrations.AddConstraint(
            "Book",
            models.CheckConstraint(condition=models.Q(page_count__gte=0), name="shelf_pages_positive"),
        ),
        migrations.AddConstraint(
            "Book", models.UniqueConstraint(fields=["author", "title"], name="shelf_one_title")
        ),
    ]
